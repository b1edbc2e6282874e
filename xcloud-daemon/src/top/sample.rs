//! Answers for tests.

use crate::report::{Loss, Lost, Path, Report, Site, Tail, Times, Unjoined};

/// A node of a cloud.
pub(crate) fn site(cloud: &str, node: &str) -> Site {
    let (region, zone) = match cloud {
        "aws" => ("us-east-1", "us-east-1b"),
        "gcp" => ("us-central1", "us-central1-a"),
        _ => ("", ""),
    };
    Site {
        cloud: cloud.into(),
        region: region.into(),
        zone: zone.into(),
        node: node.into(),
        ..Site::default()
    }
}

fn times(p99_ns: u64) -> Times {
    Times {
        count: 1_180,
        p50_ns: p99_ns / 2,
        p90_ns: p99_ns / 4 * 3,
        p99_ns,
        p999_ns: p99_ns,
        max_ns: p99_ns,
        mean_ns: p99_ns / 2,
    }
}

/// A path of which nine tenths are the WAN.
pub(crate) fn path(near: &str, far: &str, p99_ns: u64) -> Path {
    let tenth = p99_ns / 20;
    let shares = [
        ("near_cni_egress", tenth / 2),
        ("near_queue", tenth / 2),
        ("wan", p99_ns - 2 * tenth),
        ("far_pod", tenth),
    ];
    let signed = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
    Path {
        near: site(near, "node-a"),
        far: Some(site(far, "node-b")),
        kind: "ack",
        exchanges: 1_234,
        joined: 1_180,
        sampled_ratio: 1.0,
        joined_ratio: 0.956,
        unjoined: Unjoined { near_alone: 40, other_answer: 14, ..Unjoined::default() },
        total: times(p99_ns),
        segments: shares.iter().map(|(name, ns)| (*name, times(*ns))).collect(),
        tail: Some(Tail {
            quantile: 0.99,
            total_ns: p99_ns,
            cni_ns: tenth / 2,
            queue_ns: tenth / 2,
            wan_ns: signed(p99_ns - 2 * tenth),
            pod_ns: tenth,
            beyond_uplink_ns: 0,
            unattributed_ns: signed(p99_ns)
                - signed(p99_ns - 2 * tenth)
                - signed(tenth + 2 * (tenth / 2)),
            exchanges: 12,
            segments: shares.iter().map(|(name, ns)| (*name, signed(*ns))).collect(),
        }),
        clock_error_ns: 4_000,
        negative_wan: 0,
    }
}

/// An answer.
pub(crate) fn report(paths: Vec<Path>) -> Report {
    Report {
        paths,
        pods: Vec::new(),
        loss: Loss {
            emitted: 80_000,
            delivered: 79_880,
            lost: Lost { ring: 20, join: 100, ..Lost::default() },
            ..Loss::default()
        },
        start: None,
        end: None,
        oldest_available: None,
        stages: None,
    }
}
