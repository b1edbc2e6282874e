//! From flags to a plan, and from trials to what is written: the same for all tests that send probes.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};

use super::{auth::Key, packet, prober::Plan, schedule::Schedule, timestamp::Format};
use crate::{
    cli::{
        Output,
        stamp::{FormatArg, ProbeArgs},
    },
    escape,
    load::{
        environment,
        rate::{command::resolve, timer::nanoseconds},
    },
    report::{json::json, style},
    result::{Run, Trial, may_write},
    usage::usage,
};

/// Most probes of a run: each is kept until the end.
pub const MOST_PROBES: u32 = 4_000_000;
/// Shortest time between probes: 100 000 per second.
const SHORTEST_INTERVAL_NS: u64 = 10_000;
/// Most source ports.
const MOST_FLOWS: u16 = 256;
/// Longest wait for an answer.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(1);

/// How many probes are sent.
///
/// # Errors
/// None, too many, or too many at once.
pub fn count(count: Option<u32>, duration: Option<Duration>, interval_ns: u64) -> Result<u32> {
    if interval_ns < SHORTEST_INTERVAL_NS {
        return Err(usage("probes may be 10us apart or more: at most 100000 per second"));
    }
    let duration_ns = nanoseconds(duration.unwrap_or(Duration::from_secs(10)));
    let count = count.map_or_else(|| duration_ns.div_ceil(interval_ns), u64::from);
    match u32::try_from(count) {
        Ok(count @ 1..=MOST_PROBES) => Ok(count),
        _ => Err(usage(format!("that are {count} probes; a run may have 1 to {MOST_PROBES}"))),
    }
}

/// What to send.
///
/// # Errors
/// A flag is beyond what is allowed, the key cannot be read, the result not written or the host not found.
pub fn plan(
    args: &ProbeArgs,
    to: &str,
    flows: u16,
    schedule: Schedule,
    count: u32,
) -> Result<Plan> {
    let key = args.key_file.as_deref().map(Key::read).transpose()?;
    let least = packet::length(key.as_ref());
    let size = args.size.unwrap_or(least);
    if size < least || size > packet::LARGEST {
        let most = packet::LARGEST;
        return Err(usage(format!("--size is {size}; it may be {least} to {most}")));
    }
    if flows == 0 || flows > MOST_FLOWS {
        return Err(usage(format!("--flows is {flows}; it may be 1 to {MOST_FLOWS}")));
    }
    if args.timeout.is_zero() || args.timeout > LONGEST_TIMEOUT {
        return Err(usage("--timeout has to be above 0, up to 1m"));
    }
    if args.repeat == 0 {
        return Err(usage("--repeat is 0; it may be 1 or more"));
    }
    let format = match args.format {
        FormatArg::Ntp => Format::Ntp,
        FormatArg::Ptp => Format::Ptp,
    };
    if let Some(path) = &args.result {
        may_write(path)?;
    }
    let timeout_ns = nanoseconds(args.timeout);
    Ok(Plan { target: address(to)?, flows, size, key, format, schedule, count, timeout_ns })
}

/// The address of a reflector.
fn address(to: &str) -> Result<SocketAddr> {
    let parts = to.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty()) else {
        return Err(usage(format!("--to {to:?} is no HOST:PORT, as in 192.0.2.1:862")));
    };
    resolve(host.trim_matches(['[', ']']), port)
}

/// Flags that all tests have, for the result.
#[must_use]
pub fn settings(args: &ProbeArgs, plan: &Plan) -> BTreeMap<String, String> {
    [
        ("flows", plan.flows.to_string()),
        ("size", plan.size.to_string()),
        ("count", plan.count.to_string()),
        ("timeout", humantime::format_duration(args.timeout).to_string()),
        ("authenticated", plan.key.is_some().to_string()),
        ("format", format!("{:?}", plan.format).to_lowercase()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Writes what was found, if anything, to the file and in the format asked for.
///
/// # Errors
/// It cannot be written.
pub fn write(args: &ProbeArgs, mut trials: Vec<Trial>) -> Result<()> {
    if trials.is_empty() {
        return Ok(());
    }
    trials.iter_mut().for_each(|trial| environment::name_ends(&args.ends, trial));
    let run = environment::run(&args.label, &args.fact, trials);
    let text = match args.output {
        Output::Table => String::new(),
        Output::Json => json(&run)?,
        Output::Csv => csv(&run)?,
    };
    let shown = style::print(&text).map(drop);
    let kept = args.result.as_ref().map_or(Ok(()), |path| run.write(path));
    // Each is tried, whatever became of the other.
    shown.and(kept)
}

/// A run as comma-separated values: a row a figure.
fn csv(run: &Run) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["trial", "test", "to", "figure", "value", "unit"])?;
    for (index, trial) in run.trials.iter().enumerate() {
        for (name, metric) in &trial.metrics {
            let (index, value) = (index.to_string(), metric.value.to_string());
            let [test, to, name, unit] =
                [&trial.test, &trial.to, name, &metric.unit].map(|label| escape::csv(label));
            writer.write_record([&index, &test, &to, &name, &value, &unit])?;
        }
    }
    Ok(String::from_utf8(writer.into_inner().context("writing to memory")?)?)
}
