//! Who may do what at the real aggregator: certificates, roles, renewal, and strangers who mean harm.

mod authority;
mod export;
mod harness;
mod health;
mod hostile;
mod names;
mod nodes;
mod raw;
mod receiver;
mod refused;
mod roles;
mod rotation;
#[path = "../common/sample.rs"]
mod sample;
