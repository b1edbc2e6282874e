//! What no network can beat: light in fibre between two regions, and the bandwidth an instance is given.

pub mod bandwidth;
pub mod distance;
