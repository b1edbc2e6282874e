//! The aggregator's server as agents and users meet it, on a loopback port.

mod accounts;
mod client;
mod egress;
mod escape;
mod harness;
mod hostile;
mod kubectl;
mod metrics;
mod names;
mod services;
mod top;
