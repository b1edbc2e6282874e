//! Both ends of the gRPC wire.

pub mod client;
pub mod convert;
pub mod outbox;
