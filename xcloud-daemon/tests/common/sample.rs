//! A sample that an agent has to tell.

use xcloud_common::{
    sample::{Sample, kind},
    slot::{Tuple, address},
};

/// When every agent here sends, by its own clock.
pub(crate) const SENT_NS: u64 = 1_000_000_000_000;

/// The near end of an exchange.
pub(crate) fn near(end_seq: u32) -> Sample {
    let first_ns = SENT_NS - 100_000_000;
    Sample {
        first_ns,
        second_ns: first_ns + 300,
        third_ns: first_ns + 40_300,
        last_ns: first_ns + 40_400,
        queue_ns: first_ns + 200,
        end_seq,
        tsval: 7,
        answer: end_seq ^ 1,
        pod_ifindex: 2,
        uplink_ifindex: 3,
        tuple: Tuple {
            local: address([10; 16]),
            remote: address([20; 16]),
            local_port: 40_000,
            remote_port: 80,
        },
        kinds: kind::ACK | kind::RESPONSE,
        flags: 0,
        shift: 0,
    }
}
