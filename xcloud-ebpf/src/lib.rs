//! Packet parsing and slot logic of the kernel programs.
#![cfg_attr(target_arch = "bpf", no_std)]
