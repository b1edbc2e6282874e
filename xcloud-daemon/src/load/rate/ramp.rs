//! Raises the rate until the other side cannot follow.

use anyhow::Result;

use super::{
    Load, Measured, Offer,
    command::{self, Target},
    protocol::Protocol,
    report,
    schedule::Arrival,
    verdict::Rates,
};
use crate::{
    cli::{Output, rate::RateArgs},
    load::interrupt,
    report::style::{grouped, percent, print},
    usage::usage,
};

/// Most steps of a ramp.
const MOST_STEPS: u64 = 1_000;
/// The knee is passed when the 99th percentile is this many times that of the first step,
const TAIL_TIMES: u64 = 10;
/// or when more than this share of requests fails or stays without an answer.
const FAILED_SHARE: f64 = 0.001;

/// Rates of a ramp, ascending.
///
/// # Errors
/// It is not written as it should be.
pub fn steps(text: &str) -> Result<Vec<u64>> {
    let wrong = || {
        usage(format!(
            "--ramp is {text:?}; it is FROM:TO:STEP in requests/s, as in 1000:20000:1000, of at most {MOST_STEPS} steps"
        ))
    };
    let numbers: Vec<u64> =
        text.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let [from, to, step] = numbers[..] else {
        return Err(wrong());
    };
    let fine = from > 0 && step > 0 && to >= from && to <= 10_000_000;
    if !fine || (to - from) / step >= MOST_STEPS {
        return Err(wrong());
    }
    Ok((from..=to).step_by(usize::try_from(step)?).collect())
}

/// Why a step is beyond the knee, in the words of the rule; `None` when it is not.
#[must_use]
pub fn beyond(first: &Measured, step: &Measured) -> Option<String> {
    let rates = Rates::of(step);
    if !rates.reached() {
        return Some(format!("only {} of the rate was sent", percent(rates.sent / rates.offered)));
    }
    let tally = &step.total.tally;
    let lost = (tally.failures() + tally.unfinished) as f64 / tally.scheduled.max(1) as f64;
    if lost > FAILED_SHARE {
        return Some(format!("{} of requests had no good answer", percent(lost)));
    }
    let (tail, base) = (step.total.response.quantile(0.99), first.total.response.quantile(0.99));
    (tail.ns > TAIL_TIMES * base.ns).then(|| {
        format!("p99 is {}, above {TAIL_TIMES} times the first step's", report::shown(tail))
    })
}

/// Makes one run for each rate until one is beyond the knee.
///
/// # Errors
/// A run cannot be made.
pub fn climb<P: Protocol>(
    args: &RateArgs,
    target: &Target,
    load: &Load,
    steps: Vec<u64>,
    protocol: &P,
    runs: &mut Vec<(Load, Measured)>,
) -> Result<()> {
    let say = |text: String| match args.output {
        Output::Table => print(&text).map(drop),
        Output::Json | Output::Csv => {
            eprint!("{text}");
            Ok(())
        }
    };
    say(format!(
        "{} {}\n{:>12}{:>12}{:>12}{:>12}{:>12}\n",
        target.test, target.name, "rate", "sent", "answered", "p50", "p99"
    ))?;
    for rate in steps {
        let mut load = load.clone();
        load.offer = Some(Offer { rate, arrival: Arrival::Constant });
        load.limits.closed_loop = false;
        let run = command::measure(args, &load, protocol)?;
        let rates = Rates::of(&run);
        let [p50, p99] = [0.5, 0.99].map(|q| report::shown(run.total.response.quantile(q)));
        let line =
            format!("{rate:>12}{:>12.1}{:>12.1}{p50:>12}{p99:>12}\n", rates.sent, rates.achieved);
        let first = runs.first().map_or(&run, |(_, first)| first);
        let passed = beyond(first, &run);
        let before = runs.last().and_then(|(load, _)| load.offer).map(|offer| offer.rate);
        runs.push((load, run));
        say(line)?;
        if let Some(why) = passed {
            let knee = before.map_or_else(
                || format!("below {}/s", grouped(rate)),
                |knee| format!("at {}/s", grouped(knee)),
            );
            say(format!("knee {knee}: at {}/s {why}\n", grouped(rate)))?;
            return Ok(());
        }
        if interrupt::stopped() {
            return Ok(());
        }
    }
    say("no knee up to the last step\n".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::rate::{
        schedule::SECOND_NS,
        seconds::{Request, Seconds},
        tally::Failure,
    };

    #[test]
    fn steps_are_counted_out() {
        assert_eq!(steps("100:350:100").expect("fine"), [100, 200, 300]);
        for wrong in ["", "1:2", "0:5:1", "5:1:1", "1:5:0", "1:10000000:1", "a:b:c", "1:2:3:4"] {
            assert!(steps(wrong).is_err(), "{wrong}");
        }
    }

    fn step(response_ns: u64, sent_after_ns: u64) -> Measured {
        let mut seconds = Seconds::new(SECOND_NS);
        for intended_ns in (0..100).map(|index| index * SECOND_NS / 100) {
            let request = Request { intended_ns, sent_ns: intended_ns + sent_after_ns };
            seconds.noticed(request.sent_ns, intended_ns);
            seconds.sent(request);
            seconds.done(intended_ns + response_ns, request);
        }
        Measured::of(SECOND_NS, seconds.finish())
    }

    #[test]
    fn each_part_of_the_rule_finds_the_knee() {
        let first = step(1_000_000, 0);
        assert_eq!(beyond(&first, &step(9_000_000, 0)), None);
        let slow = beyond(&first, &step(20_000_000, 0)).expect("beyond");
        assert!(slow.contains("p99 is 20.0 ms, above 10 times"), "{slow}");
        let behind = beyond(&first, &step(1_000_000, 100_000_000)).expect("beyond");
        assert!(behind.contains("only 90.0 % of the rate"), "{behind}");
        let mut failing = step(1_000_000, 0);
        failing.total.tally.fail(Failure::Reset);
        let failing = beyond(&first, &failing).expect("beyond");
        assert!(failing.contains("1.0 % of requests had no good answer"), "{failing}");
    }
}
