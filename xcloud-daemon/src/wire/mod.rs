//! Both ends of the gRPC wire.

pub mod answer;
pub mod backoff;
pub mod client;
pub mod connect;
pub mod convert;
pub mod egress;
pub mod filter;
pub mod ingest;
pub mod limits;
pub mod observer;
pub mod outbox;
pub mod server;
