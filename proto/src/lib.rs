//! The wire between agents, the aggregator and its users, generated from the `.proto` files by
//! `cargo xtask codegen`.
#![allow(
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    clippy::or_fun_call,
    reason = "generated code"
)]

/// Shared messages.
pub mod common {
    /// Version 1.
    pub mod v1 {
        include!("gen/xcloud.common.v1.rs");
    }
}

/// Agents to aggregator.
pub mod ingest {
    /// Version 1.
    pub mod v1 {
        include!("gen/xcloud.ingest.v1.rs");
    }
}

/// Load tests, and the endpoints that make them.
pub mod loadtest {
    /// Version 1.
    pub mod v1 {
        include!("gen/xcloud.loadtest.v1.rs");
    }
}

/// Users to aggregator.
pub mod observer {
    /// Version 1.
    pub mod v1 {
        include!("gen/xcloud.observer.v1.rs");
    }
}

/// All `.proto` files compiled, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("gen/descriptors.bin");
