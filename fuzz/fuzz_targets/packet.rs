//! Any bytes are read or refused, and what is read is consistent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xcloud_common::config::Tunnels;
use xcloud_ebpf::{
    packet::{Headers, Link},
    tunnel,
};

const TUNNELS: Tunnels = Tunnels { vxlan: [4789, 8472, 0, 0], geneve: [6081, 0, 0, 0] };

fuzz_target!(|input: (bool, u32, &[u8])| {
    let (bare, len, bytes) = input;
    let link = if bare { Link::Ip } else { Link::Ethernet };
    if tunnel::inner(&bytes, link, &TUNNELS).is_none() {
        let _ = tunnel::is_opaque(&bytes, link);
    }
    let Ok(headers) = Headers::parse(&bytes, link, len) else { return };
    assert!(headers.tcp + 20 <= bytes.len());
    assert!(headers.header_len >= 20);
    assert!(!headers.payload || headers.is_data());
    let ip = headers.ip_header(&bytes).unwrap();
    if let Some(facts) = headers.facts(&bytes, &ip) {
        assert_eq!(headers.facts(&bytes, &ip), Some(facts));
        let mut addresses = [0; 8];
        headers.copy_addresses(&ip, &mut addresses);
        assert!(headers.ipv6 || addresses[2..] == [0; 6]);
    }
});
