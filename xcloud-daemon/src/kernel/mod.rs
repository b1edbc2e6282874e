//! The privileged part: nothing outside touches bpf(2), netlink or /proc.

pub mod btf;
pub mod drain;
pub mod object;
