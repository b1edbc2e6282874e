//! What bytes between clouds cost: list prices as data, exact arithmetic, no network.
//!
//! Prices are per byte, by monthly volume, or per hour; nothing is billed per packet.

pub mod break_even;
pub mod command;
pub mod estimate;
pub mod measured;
pub mod money;
pub mod price;
pub mod route;
pub mod show;
pub mod tariff;
pub mod volume;
pub mod what_if;
pub mod workloads;
