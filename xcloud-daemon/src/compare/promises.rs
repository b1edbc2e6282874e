//! What a comparison says about itself, tried many times. It takes minutes, so it is asked for by name:
//! `cargo test --release -p xcloud-daemon promises -- --ignored --nocapture`.

use super::{
    arm::Arm,
    compare,
    question::Question,
    simulated::latency_arm,
    stats::{power::Power, random::Random, verdict::Verdict},
};

/// Trials of a pilot, noise from trial to trial, and what is asked for.
const PILOTS: [(usize, f64, &[&str]); 6] = [
    (6, 0.03, &["response:p99"]),
    (16, 0.03, &["response:p99"]),
    (6, 0.01, &["response:p99"]),
    (6, 0.03, &["response:p50"]),
    (6, 0.03, &["response"]),
    (16, 0.03, &[]),
];
const COMPARISONS: u64 = 60;
/// Of these; four in five, less what chance takes from so few.
const FOUND: u32 = 44;

/// The verdict on a figure of two simulated runs, and how many trials it says it takes.
fn compared(a: &Arm, b: &Arm, asked: &Question, name: &str, power: &mut Power) -> (Verdict, usize) {
    let report = compare(a, b, asked, power).expect("comparable");
    let one = report.comparisons.into_iter().find(|one| one.name() == name).expect("compared");
    (one.verdict, one.trials_needed.expect("not many"))
}

/// Each time a pilot of equal runs says how many trials it takes to find 5 %; then two runs of as many differ by that.
#[test]
#[ignore = "takes minutes"]
fn what_a_pilot_says_it_takes_finds_the_difference_four_times_in_five() {
    let mut power = Power::default();
    for (pilot, noise, metrics) in PILOTS {
        let metrics = metrics.iter().map(|name| (*name).to_owned()).collect();
        let asked = Question { metrics, ..Question::default() };
        let name = if asked.metrics == ["response:p50"] { "response p50" } else { "response p99" };
        let (mut found, mut trials) = (0, 0);
        for seed in 0..COMPARISONS {
            let mut random = Random::named(seed, "pilots");
            let mut arm = |n, factor| latency_arm("run", n, noise, factor, &mut random);
            let (a, b) = (arm(pilot, 1.0), arm(pilot, 1.0));
            let (_, n) = compared(&a, &b, &asked, name, &mut power);
            let (a, b) = (arm(n, 1.0), arm(n, 1.05));
            let (verdict, _) = compared(&a, &b, &asked, name, &mut power);
            trials += n;
            found += u32::from(verdict == Verdict::Worse);
        }
        let mean = trials as f64 / COMPARISONS as f64;
        let what = format!("{name} of {:?}, noise {noise}, pilot of {pilot}", asked.metrics);
        println!("{what}: found {found} of {COMPARISONS} with {mean:.1} trials");
        assert!(found >= FOUND, "{what}: found {found} of {COMPARISONS}");
    }
}
