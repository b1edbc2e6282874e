//! What the process itself takes, as every Prometheus client tells it.

use std::{fs, time::Duration};

use super::{Sink, Value, family, write};

/// Tells of this process; what /proc does not say is left out.
pub fn tell(sink: &mut dyn Sink, component: &str) {
    let version = env!("CARGO_PKG_VERSION");
    write(sink, &family::BUILD, &[(&[component, version], Value::Count(1))]);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let Some(usage) = Usage::read(&stat, units()) else { return };
    write(sink, &family::CPU, &[(&[], Value::Number(usage.cpu.as_secs_f64()))]);
    write(sink, &family::RESIDENT, &[(&[], Value::Count(usage.resident_bytes))]);
    let booted = fs::read_to_string("/proc/stat").ok().and_then(|text| booted(&text));
    if let Some(booted) = booted {
        let started = booted as f64 + usage.started.as_secs_f64();
        write(sink, &family::STARTED, &[(&[], Value::Number(started))]);
    }
}

/// In which units /proc counts.
#[derive(Clone, Copy, Debug)]
struct Units {
    ticks_per_second: u64,
    page_bytes: u64,
}

fn units() -> Units {
    // SAFETY: both calls have no preconditions.
    let [ticks, page] =
        [libc::_SC_CLK_TCK, libc::_SC_PAGESIZE].map(|name| unsafe { libc::sysconf(name) });
    let positive = |value, usual| u64::try_from(value).ok().filter(|it| *it > 0).unwrap_or(usual);
    Units { ticks_per_second: positive(ticks, 100), page_bytes: positive(page, 4096) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usage {
    cpu: Duration,
    resident_bytes: u64,
    /// Since the machine's start.
    started: Duration,
}

impl Usage {
    /// From `/proc/PID/stat`; a program's name in it may hold spaces and brackets.
    fn read(stat: &str, units: Units) -> Option<Self> {
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<_> = after_name.split_ascii_whitespace().collect();
        // Fields are counted from 1 in proc(5), and the first after the name is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks =
            |ticks: u64| Duration::from_secs_f64(ticks as f64 / units.ticks_per_second as f64);
        Some(Self {
            cpu: ticks(field(14)? + field(15)?),
            resident_bytes: field(24)? * units.page_bytes,
            started: ticks(field(22)?),
        })
    }
}

/// When the machine started, in seconds since 1970, from `/proc/stat`.
fn booted(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "17 (a) b (c) S 1 17 17 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 3 0 12345 900000 300 1844";
        let units = Units { ticks_per_second: 100, page_bytes: 4096 };
        let wanted = Usage {
            cpu: Duration::from_secs(3),
            resident_bytes: 300 * 4096,
            started: Duration::from_millis(123_450),
        };
        assert_eq!(Usage::read(stat, units), Some(wanted));
        assert_eq!(Usage::read("17 (a) S 1", units), None);
        assert_eq!(booted("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000));
    }
}
