//! Both ends of the gRPC wire.

pub mod convert;
