//! Specifications that make sense, and others.

use proptest::prelude::*;

use super::*;

/// A test of a kind between `a` and `b`, for a second.
pub(crate) fn asked(kind: WireKind) -> LoadTestSpec {
    LoadTestSpec {
        from: "a".into(),
        to: "b".into(),
        duration: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        name: String::new(),
        kind: Some(kind),
    }
}

fn rr(requests_per_second: u64) -> Requests {
    let protocol = RequestProtocol::Rr.into();
    Requests { protocol, requests_per_second, ..Requests::default() }
}

#[test]
fn what_is_left_out_is_filled_in() {
    let spec = Spec::read(&asked(WireKind::Throughput(Throughput::default()))).expect("sound");
    assert_eq!((&*spec.name, spec.whole_time()), ("throughput", Duration::from_secs(1)));
    let spec = Spec::read(&asked(WireKind::Probes(Probes::default()))).expect("sound");
    assert_eq!(spec.kind, Kind::Probes { interval: INTERVAL, flows: 1 });
    let spec = Spec::read(&asked(WireKind::Requests(rr(5)))).expect("sound");
    assert_eq!(Spec::read(&spec.wire()).expect("sound"), spec);
}

#[test]
fn what_makes_no_sense_is_named() {
    let udp = Throughput { udp: true, ..Throughput::default() };
    let omit = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    let negative = Throughput { omit, ..Throughput::default() };
    let threads = Requests { threads: 11, ..rr(5) };
    let wide = Requests { request_bytes: u32::MAX, ..rr(5) };
    let interval = Some(prost_types::Duration { seconds: 0, nanos: 0 });
    for (kind, says) in [
        (WireKind::Throughput(udp), "UDP needs"),
        (WireKind::Throughput(negative), "omit"),
        (WireKind::Requests(Requests::default()), "protocol"),
        (WireKind::Requests(Requests { max_requests: 1, ..rr(5) }), "max_requests"),
        (WireKind::Requests(threads), "threads"),
        (WireKind::Requests(wide), "request_bytes"),
        (WireKind::Probes(Probes { interval, flows: 1 }), "interval"),
    ] {
        let error = Spec::read(&asked(kind)).expect_err(says);
        assert!(error.contains(says), "{error}");
    }
    let fine = asked(WireKind::Requests(rr(5)));
    for (wrong, says) in [
        (LoadTestSpec { to: "a".into(), ..fine.clone() }, "same"),
        (LoadTestSpec { from: "x".repeat(254), ..fine.clone() }, "from"),
        (LoadTestSpec { duration: None, ..fine.clone() }, "duration"),
        (LoadTestSpec { name: "a\n".into(), ..fine.clone() }, "name"),
        (LoadTestSpec { kind: None, ..fine }, "kind"),
    ] {
        let error = Spec::read(&wrong).expect_err(says);
        assert!(error.contains(says), "{error}");
    }
}

proptest! {
    #[test]
    fn garbage_is_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(wire) = <LoadTestSpec as prost::Message>::decode(&*bytes) {
            let _ = Spec::read(&wire);
        }
    }

    #[test]
    fn what_was_read_is_read_again_alike(
        seconds in 1i64..3600, nanos in 0i32..1_000_000_000, rate in 1u64..1_000_000, connections in 0u32..20_000,
    ) {
        let kind = WireKind::Requests(Requests { connections, ..rr(rate / 2) });
        let duration = Some(prost_types::Duration { seconds, nanos });
        if let Ok(spec) = Spec::read(&LoadTestSpec { duration, ..asked(kind) }) {
            prop_assert_eq!(Spec::read(&spec.wire()), Ok(spec));
        }
    }
}
