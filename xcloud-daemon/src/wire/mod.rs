//! Both ends of the gRPC wire.
