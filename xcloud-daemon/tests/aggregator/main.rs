//! The aggregator's server as agents and users meet it, on a loopback port.

mod accounts;
mod client;
mod egress;
mod harness;
mod hostile;
mod names;
mod services;
