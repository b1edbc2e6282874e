//! The privileged part: nothing outside touches bpf(2), netlink or /proc.

pub mod attach;
pub mod btf;
pub mod cost;
pub mod drain;
pub mod egress;
pub mod ifaces;
pub mod inside;
pub mod object;
pub mod pin;
pub mod podns;
pub mod probe;
pub mod rtnl;
pub mod stages;
pub mod tc;
pub mod trial;
pub mod unfinished;
