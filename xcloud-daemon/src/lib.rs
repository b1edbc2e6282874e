//! xcloud says where the p99 of traffic between clouds goes.
//!
//! The line, one module a box: packet -> hook -> slot -> ring -> drain drains -> client batches
//! =gRPC=> server -> join near and far -> store =gRPC=> query -> report.

pub mod access;
pub mod agent;
pub mod aggregator;
pub mod check;
pub mod cli;
pub mod compare;
pub mod config;
pub mod cost;
pub mod escape;
pub mod floor;
pub mod kernel;
pub mod kubectl;
pub mod load;
pub mod loadtest;
pub mod logging;
pub mod measure;
pub mod memory;
pub mod metrics;
pub mod nodes;
pub mod observe;
pub mod place;
pub mod query;
pub mod report;
pub mod result;
pub mod run_report;
pub mod sites;
pub mod top;
pub mod usage;
pub mod wire;
