//! The kernel programs' logic. [`packet`], [`tunnel`], [`buffer`], [`exchange`] and [`egress`] are plain Rust that is tested
//! and, where it reads packets, fuzzed on the host; the rest exists only in the kernel.
#![cfg_attr(target_arch = "bpf", no_std)]

pub mod buffer;
pub mod egress;
pub mod exchange;
pub mod packet;
pub mod tunnel;
