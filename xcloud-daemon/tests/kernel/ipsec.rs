//! States of IPsec as the kernel tells them.

use std::{panic, process::Command, thread};

use nix::sched::{CloneFlags, unshare};
use xcloud::kernel::rtnl::esp_states;

/// Reserves a state, which takes no support for the protocol itself.
fn reserve(protocol: &str, least: &str, most: &str) {
    let state = ["xfrm", "state", "allocspi", "src", "10.0.0.1", "dst", "10.0.0.2", "proto"];
    let told = Command::new("ip")
        .args(state)
        .args([protocol, "mode", "tunnel", "min", least, "max", most])
        .output()
        .expect("running ip");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn only_states_that_encrypt_count() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "kernel tests must run in CI");
        eprintln!("SKIPPED: needs root");
        return;
    }
    let work = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        match esp_states() {
            Ok(none) => assert_eq!(none, 0),
            Err(error) => return eprintln!("SKIPPED: this kernel has no IPsec: {error}"),
        }
        reserve("ah", "0x100", "0x200");
        reserve("comp", "2", "9");
        assert_eq!(esp_states().expect("asking"), 0);
        for _ in 0..3 {
            reserve("esp", "0x100", "0x200");
        }
        assert_eq!(esp_states().expect("asking"), 3);
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|why| panic::resume_unwind(why));
}
