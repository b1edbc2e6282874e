use std::{sync::Arc, time::Duration};

use super::*;
use crate::load::throughput::{
    client,
    cookie::Cookie,
    counters::Count,
    json,
    ledger::{Ledger, Moment, Reading},
    params,
    record::Setting,
    results::{Results, StreamResult},
};

fn plan(protocol: Protocol, rate: u64) -> Plan {
    Plan { protocol, length: 1_000, rate: Some(rate), ..params::tests::plan() }
}

/// A client that sent 10 000 datagrams of 1 000 B in 10 s, to a server that saw `expected` of them, `lost` of which had
/// not come.
fn record(plan: Plan, expected: u64, lost: u64) -> Record {
    let sent = Count { bytes: 10_000_000, datagrams: 10_000, ..Count::default() };
    let at = |seconds, count| Moment {
        at: Duration::from_secs(seconds),
        readings: vec![Reading { count, tcp: None }],
        ..Moment::default()
    };
    let mut ledger = Ledger::new(vec![true], at(0, Count::default()), false);
    ledger.cut(at(10, sent));
    let stream = StreamResult {
        id: 1,
        bytes: (expected - lost) * 1_000,
        packets: expected,
        errors: lost,
        end: 10.0,
        ..StreamResult::default()
    };
    let cookie = Cookie::random().expect("random bytes");
    let setting = Setting::new(&Arc::new(plan), true, cookie, "far".into(), 5201, &[]);
    Record { setting, ledger, peer: Results { streams: vec![stream], ..Results::default() } }
}

fn lost(record: &Record) -> String {
    format!("{:.3}", trial(record).metrics["lost"].value)
}

#[test]
fn what_never_arrives_is_lost() {
    let record = record(plan(Protocol::Udp, 8_000_000), 0, 0);
    client::check(&record).expect("it is a finding, and kept");
    let trial = trial(&record);
    assert_eq!((trial.metrics["lost"].value, trial.metrics["throughput"].value), (100.0, 0.0));
    assert!(!trial.metrics.contains_key("jitter"));
    assert!(trial.warnings[0].starts_with("nothing arrived of what the client sent"));
    let text = text::summary(&record);
    assert!(text.contains("10000/10000 (100.00%)") && text.contains("warning: nothing"), "{text}");
    let json = json::whole(&record);
    for sum in [&json["end"]["sum"], &json["end"]["streams"][0]["udp"]] {
        let told = ["lost_packets", "packets", "lost_percent"].map(|name| sum[name].as_f64());
        assert_eq!(told, [Some(10_000.0), Some(10_000.0), Some(100.0)]);
    }
    assert!(json["warnings"][0].as_str().is_some_and(|one| one.starts_with("nothing arrived")));
}

/// 1 000 datagrams are a second of this test: that many may be under way when the server stops.
#[test]
fn what_is_behind_the_last_arrival_is_lost_if_it_is_more_than_a_second_of_sending() {
    let plan = plan(Protocol::Udp, 8_000_000);
    let short = record(plan.clone(), 9_000, 90);
    assert_eq!(lost(&short), "1.000");
    assert_eq!(warnings(&short), [""; 0]);
    let long = record(plan.clone(), 5_000, 500);
    assert_eq!(lost(&long), "55.000");
    assert!(warnings(&long)[0].contains("of the last that the client sent"), "{long:?}");
    assert_eq!(lost(&record(plan, 10_000, 0)), "0.000");
}

#[test]
fn of_nothing_sent_no_part_is_lost() {
    let mut record = record(plan(Protocol::Udp, 8_000_000), 0, 0);
    record.ledger = Ledger::new(vec![true], Moment::default(), false);
    client::check(&record).expect_err("nothing to show");
    assert!(!trial(&record).metrics.contains_key("lost"));
}

#[test]
fn tcp_that_reaches_the_rate_it_is_held_to_says_that_this_proves_nothing() {
    // 10 000 000 B in 10 s are 8 Mbit/s.
    let record = |plan| record(plan, 10_000, 0);
    let held = record(plan(Protocol::Tcp, 8_400_000));
    assert!(warnings(&held)[0].starts_with("it reached the 8.40 Mbits/sec that it was held to"));
    assert_eq!(warnings(&record(plan(Protocol::Tcp, 8_500_000))), [""; 0]);
    let free = Plan { rate: None, ..plan(Protocol::Tcp, 0) };
    assert_eq!(warnings(&record(free)), [""; 0]);
}
