//! `xcloud compare`: what may be said about B beside A.

pub mod stats;
