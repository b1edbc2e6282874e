//! Any bytes are read or refused, and what is read is consistent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xcloud_common::slot::Tuple;
use xcloud_ebpf::packet::{Headers, Link};

fuzz_target!(|input: (bool, u32, &[u8])| {
    let (bare, len, bytes) = input;
    let link = if bare { Link::Ip } else { Link::Ethernet };
    let Ok(headers) = Headers::parse(&bytes, link, len) else { return };
    assert!(headers.tcp + 20 <= bytes.len());
    assert!(headers.header_len >= 20);
    assert!(!headers.payload || headers.is_data());
    if let Some(facts) = headers.facts(&bytes) {
        assert_eq!(headers.facts(&bytes), Some(facts));
        let (mut there, mut back) = (Tuple::default(), Tuple::default());
        let labelled = headers.label(&bytes, true, &mut there).is_some();
        assert_eq!(labelled, headers.label(&bytes, false, &mut back).is_some());
        assert_eq!((there.local, there.local_port), (back.remote, back.remote_port));
    }
});
