//! The aggregator's server as agents and users meet it, on a loopback port.

mod accounts;
#[path = "../common/agent.rs"]
mod agent;
mod client;
mod egress;
mod escape;
mod harness;
mod hostile;
mod kubectl;
mod metrics;
mod names;
#[path = "../common/sample.rs"]
mod sample;
mod services;
mod top;
