//! Sends requests over several connections, or streams, and keeps count.

use std::{
    io::{BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::{ClientArgs, LoadKind, message};

/// Requests over one connection before it is opened anew, so that handshakes happen too.
const PER_CONNECTION: u32 = 50;
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);
/// Anything longer is counted as this long.
const LONGEST_NS: u64 = 60_000_000_000;
const CHUNK: usize = 64 << 10;

/// What a client saw.
#[derive(Debug, Default, Serialize)]
struct Report {
    requests: u64,
    bytes: u64,
    errors: u64,
    last_error: Option<String>,
    p50_ns: u64,
    p99_ns: u64,
    mean_ns: f64,
}

struct Shared<'a> {
    args: &'a ClientArgs,
    end: Instant,
    report: Mutex<(Report, Histogram<u64>)>,
}

/// Asks until the duration has passed, then prints a report.
pub(crate) fn run(args: &ClientArgs) -> Result<()> {
    let histogram = Histogram::new_with_max(LONGEST_NS, 3).context("making a histogram")?;
    let shared = Shared {
        args,
        end: Instant::now() + args.duration,
        report: Mutex::new((Report::default(), histogram)),
    };
    thread::scope(|scope| {
        for target in args.targets.iter().cycle().take(args.connections.into()) {
            scope.spawn(|| shared.keep_asking(*target));
        }
    });
    let (mut report, histogram) =
        shared.report.into_inner().map_err(|_| anyhow!("a connection's thread panicked"))?;
    report.p50_ns = histogram.value_at_quantile(0.5);
    report.p99_ns = histogram.value_at_quantile(0.99);
    report.mean_ns = histogram.mean();
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

impl Shared<'_> {
    fn keep_asking(&self, target: SocketAddr) {
        super::sleep_exactly();
        while Instant::now() < self.end {
            let result = match self.args.kind {
                LoadKind::Bulk => self.stream(target),
                LoadKind::Rr | LoadKind::Http => self.converse(target),
            };
            if let Err(error) = result
                && let Ok(mut report) = self.report.lock()
            {
                report.0.errors += 1;
                report.0.last_error = Some(format!("{target}: {error:#}"));
                drop(report);
                thread::sleep(PAUSE_AFTER_ERROR);
            }
        }
    }

    fn connect(&self, target: SocketAddr) -> Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&target, PATIENCE).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn converse(&self, target: SocketAddr) -> Result<()> {
        let stream = self.connect(target)?;
        let mut reader = BufReader::new(&stream);
        for _ in 0..PER_CONNECTION {
            if Instant::now() >= self.end {
                break;
            }
            let start = Instant::now();
            message::write_request(self.args.kind, &mut &stream).context("sending")?;
            message::read_response(self.args.kind, &mut reader).context("receiving")?;
            self.count(1, 0, Some(start.elapsed()));
            super::wait(self.args.think);
        }
        Ok(())
    }

    fn stream(&self, target: SocketAddr) -> Result<()> {
        let mut stream = self.connect(target)?;
        let chunk = vec![b's'; CHUNK];
        let gap = self.args.rate.map(|rate| {
            let bits = CHUNK as f64 * 8.0;
            Duration::from_secs_f64(bits / rate.max(1) as f64)
        });
        let mut next = Instant::now();
        while Instant::now() < self.end {
            stream.write_all(&chunk).context("sending")?;
            self.count(0, CHUNK as u64, None);
            if let Some(gap) = gap {
                next += gap;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }
        Ok(())
    }

    fn count(&self, requests: u64, bytes: u64, took: Option<Duration>) {
        let Ok(mut report) = self.report.lock() else {
            return;
        };
        report.0.requests += requests;
        report.0.bytes += bytes;
        if let Some(took) = took {
            let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            report.1.saturating_record(nanoseconds);
        }
    }
}
