//! The privileged part: nothing outside touches bpf(2), netlink or /proc.

pub mod attach;
pub mod btf;
pub mod drain;
pub mod ifaces;
pub mod object;
pub mod pin;
pub mod probe;
pub mod stages;
pub mod trial;
