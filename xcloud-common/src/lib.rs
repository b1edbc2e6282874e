//! What the kernel programs and user space agree on: which packets are chosen ([`identity`]), where an exchange
//! waits in the kernel ([`table`], [`slot`], [`brief`]), what the kernel says when it is complete ([`record`]), what that means
//! ([`sample`]), what the kernel is told ([`config`]), what it counts ([`counter`]), what the opt-in stage profile
//! keeps ([`stage`]), and what the opt-in account of bytes does ([`egress`]).
#![cfg_attr(target_arch = "bpf", no_std)]

pub mod brief;
pub mod config;
pub mod counter;
pub mod egress;
pub mod identity;
pub mod record;
pub mod sample;
pub mod slot;
pub mod stage;
pub mod stand_in;
pub mod table;
