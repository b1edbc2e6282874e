//! What happens to probes is told, and where.

use std::{collections::HashMap, time::Duration};

use xcloud::load::stamp::clock::Clock;

use crate::harness::{Fate, Faulty, MS, Own, counts, figure, quantile, trial, xcloud};

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn losses_are_told_by_direction() {
    let mut got = 0;
    let faulty = Faulty::start(Clock::new(), move |came, _| {
        if came % 10 == 3 {
            return Fate::LoseProbe;
        }
        got += 1;
        if got % 9 == 5 { Fate::LoseAnswer } else { Fate::Answer }
    });
    let trial = trial(&mut xcloud(&format!("stamp --to {} -n 200 -i 1ms", faulty.address)));
    let names = ["sent", "answered", "lost_forward", "lost_backward", "lost_unplaced", "late"];
    assert_eq!(counts(&trial, names), [200, 160, 20, 20, 0, 0]);
    assert!((figure(&trial, "loss") - 0.2).abs() < 1e-9);
}

#[test]
fn copies_and_swaps_are_told() {
    let faulty = Faulty::start(Clock::new(), |came, _| match came % 20 {
        7 => Fate::Double,
        13 => Fate::Swap,
        _ => Fate::Answer,
    });
    let trial = trial(&mut xcloud(&format!("stamp --to {} -n 200 -i 1ms", faulty.address)));
    let names = [
        "answered",
        "duplicates_forward",
        "duplicates_backward",
        "reordered_forward",
        "reordered_backward",
    ];
    assert_eq!(counts(&trial, names), [200, 0, 10, 0, 10]);
}

#[test]
fn every_flow_is_a_session_of_its_own() {
    let mut by_port = HashMap::new();
    let faulty = Faulty::start(Clock::new(), move |_, from| {
        let came = by_port.entry(from).or_insert(0);
        *came += 1;
        if *came % 5 == 2 { Fate::LoseProbe } else { Fate::Answer }
    });
    let trial =
        trial(&mut xcloud(&format!("stamp --to {} -n 200 -i 1ms --flows 4", faulty.address)));
    assert_eq!(counts(&trial, ["answered", "lost_forward", "lost_backward"]), [160, 40, 0]);
}

#[test]
fn an_answer_after_the_timeout_is_late_and_lost() {
    let faulty = Faulty::start(Clock::new(), |came, _| {
        let pause = if came == 5 { 300 * MILLISECOND } else { Duration::ZERO };
        Fate::Delay(Duration::ZERO, pause)
    });
    // The others are far enough from the pause.
    let words = format!("stamp --to {} -n 6 -i 1ms --timeout 200ms", faulty.address);
    let trial = trial(&mut xcloud(&words));
    assert_eq!(counts(&trial, ["sent", "answered"]), [6, 5]);
    assert_eq!(figure(&trial, "late") + figure(&trial, "lost_unplaced"), 1.0);
}

/// One-way times with a clock five seconds ahead and 80 ppm fast.
fn one_way(out_ms: u32, back_ms: u32) -> (f64, f64, f64) {
    let clock = Clock::new().pretending(Duration::from_secs(5), 80.0);
    let faulty =
        Faulty::start(clock, move |_, _| Fate::Delay(out_ms * MILLISECOND, back_ms * MILLISECOND));
    let trial = trial(&mut xcloud(&format!("stamp --to {} -n 150 -i 20ms", faulty.address)));
    assert_eq!(counts(&trial, ["answered"]), [150]);
    let error = figure(&trial, "one_way_error");
    let offset = figure(&trial, "clock_offset");
    assert!((offset - 5e9).abs() <= error + MS, "{offset} is not 5 s within {error} and the drift");
    let [forward, backward] =
        ["one_way_forward", "one_way_backward"].map(|name| quantile(&trial, name, 0.5));
    (forward, backward, error)
}

/// How far sleeps of a busy machine may be off in the median.
const SLEEP: f64 = 2.0 * MS;

#[test]
fn one_way_times_need_no_right_clock() {
    let (forward, backward, error) = one_way(4, 4);
    assert!((forward - 4.0 * MS).abs() < SLEEP, "{forward}");
    assert!((backward - 4.0 * MS).abs() < SLEEP, "{backward}");
    assert!(error > 3.9 * MS && error < 4.0 * MS + SLEEP, "{error}");
}

#[test]
fn a_path_that_is_longer_one_way_is_within_the_stated_error() {
    let (forward, backward, error) = one_way(7, 1);
    assert!((forward - 7.0 * MS).abs() < error + SLEEP, "{forward} for 7 ms, error {error}");
    assert!((backward - MS).abs() < error + SLEEP, "{backward} for 1 ms, error {error}");
}

#[test]
fn who_has_another_key_gets_no_answer() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = |name: &str, key: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, key).expect("written");
        path.display().to_string()
    };
    let (right, wrong) = (file("right", "0123456789abcdef\n"), file("wrong", "another"));
    let own = Own::start(&format!("--key-file {right}"));
    let answered = |flags: &str| {
        let words = format!("stamp --to {} -n 20 -i 1ms --timeout 200ms {flags}", own.address);
        counts(&trial(&mut xcloud(&words)), ["answered"])
    };
    assert_eq!(answered(&format!("--key-file {right} --size 200")), [20]);
    for flags in [&*format!("--key-file {wrong}"), ""] {
        let words = format!("stamp --to {} -n 20 -i 1ms --timeout 200ms {flags}", own.address);
        let output = xcloud(&words).output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("nothing answered"), "{said}");
    }
}

#[test]
fn a_rate_beyond_the_reflectors_is_not_answered() {
    let own = Own::start("--max-rate 100");
    let words = format!("stamp --to {} -n 500 -i 1ms --schedule poisson --format ptp", own.address);
    let [answered] = counts(&trial(&mut xcloud(&words)), ["answered"]);
    // Ten at once and a hundred a second, for half a second or somewhat more.
    assert!((30..300).contains(&answered), "{answered}");
}
