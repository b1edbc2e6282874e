//! The files that HdrHistogram's own tools read.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use super::{Measured, record, schedule::SECOND_NS, timings::Timings};

const MS: f64 = 1e6;

/// Writes a file.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// The response times of runs by percentile, in milliseconds.
#[must_use]
pub fn hgrm(runs: &[&Measured]) -> String {
    let timings = Timings::merged(runs.iter().map(|run| &run.total.response));
    let histogram = timings.values.to_hdr();
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut count = 0;
    for step in histogram.iter_quantiles(5) {
        count += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64 / MS, step.quantile_iterated_to());
        let _ = write!(text, "{value:12.6} {quantile:14.12} {count:10}");
        let _ = match quantile {
            1.0.. => writeln!(text),
            _ => writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile)),
        };
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:12.6}, StdDeviation   = {:12.6}]\n#[Max     = {:12.6}, Total count    = {:12}]\n#[Buckets = \
         {:12}, SubBuckets     = {:12}]",
        histogram.mean() / MS,
        histogram.stdev() / MS,
        timings.values.max_ns() as f64 / MS,
        histogram.len(),
        histogram.buckets(),
        2048
    );
    if let Some(bound) = timings.lowest_bound_ns() {
        let bound = bound as f64 / MS;
        let count = timings.censored;
        let _ = writeln!(text, "#[Bounds  = {count:12}, LowestBound    = {bound:12.6}]");
        let _ = writeln!(
            text,
            "# {count} requests had not ended; from {bound:.6} on, values are at least so large"
        );
    }
    text
}

/// The distributions of every second of runs, each with its name as tag: the histogram log format, version 1.3, with
/// values in nanoseconds.
///
/// # Errors
/// None that is known; encoding could in theory fail.
pub fn log(runs: &[&Measured]) -> Result<String> {
    let first_ns = runs.first().map_or(0, |run| run.started_unix_ns);
    let start = first_ns as f64 / SECOND_NS as f64;
    let mut text = format!(
        "#[Histogram log format version 1.3]\n#[StartTime: {start:.3} (seconds since epoch)]\n#[BaseTime: {start:.3} \
         (seconds since epoch)]\n\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"
    );
    for run in runs {
        let after = run.started_unix_ns.saturating_sub(first_ns) as f64 / SECOND_NS as f64;
        for (index, second) in run.seconds.iter().enumerate() {
            for (name, timings) in record::named(second) {
                let from = after + index as f64;
                let max = timings.values.max_ns() as f64 / MS;
                let encoded = record::encode(timings)?.hdr;
                let _ = writeln!(text, "Tag={name},{from:.3},1.000,{max:.3},{encoded}");
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use hdrhistogram::{
        Histogram,
        serialization::{
            Deserializer,
            interval_log::{IntervalLogIterator, LogEntry},
        },
    };

    use super::*;
    use crate::load::rate::{
        seconds::{Request, Seconds},
        timings::Recorder,
    };

    fn run() -> Measured {
        let mut seconds = Seconds::new(2 * SECOND_NS);
        for index in 0..200 {
            let intended_ns = index * 10_000_000;
            let request = Request { intended_ns, sent_ns: intended_ns + 1_000 };
            seconds.noticed(intended_ns, intended_ns);
            seconds.sent(request);
            seconds.done(intended_ns + (index + 1) * 10_000, request);
        }
        Measured {
            started_unix_ns: 1_700_000_000 * SECOND_NS,
            ..Measured::of(2 * SECOND_NS, seconds.finish())
        }
    }

    #[test]
    fn a_log_is_read_by_hdrhistogram() {
        let text = log(&[&run()]).expect("encodable");
        let mut responses = Vec::new();
        for entry in IntervalLogIterator::new(text.as_bytes()) {
            let LogEntry::Interval(entry) = entry.expect("in the format") else {
                continue;
            };
            let bytes = STANDARD.decode(entry.encoded_histogram()).expect("base64");
            let histogram: Histogram<u64> =
                Deserializer::new().deserialize(&mut &bytes[..]).expect("a histogram");
            if entry.tag().expect("a tag").as_str() == "response" {
                responses.push((entry.start_timestamp().as_secs(), histogram));
            }
        }
        assert_eq!(responses.len(), 2);
        assert_eq!(responses[1].0, 1);
        let total: u64 = responses.iter().map(|(_, histogram)| histogram.len()).sum();
        assert_eq!(total, 200);
        assert!(responses[1].1.equivalent(responses[1].1.max(), 2_000_000));
    }

    #[test]
    fn requests_that_had_not_ended_are_told_where_plotters_read_nothing() {
        assert!(!hgrm(&[&run()]).contains("Bounds"));
        let mut frozen = run();
        let mut recorder = Recorder::default();
        (1..=90).for_each(|ms| recorder.exact(ms * 1_000_000));
        (1..=10).for_each(|_| recorder.at_least(500_000_000));
        frozen.total.response = recorder.take();
        let text = hgrm(&[&frozen]);
        let said =
            "#[Bounds  =           10, LowestBound    =   500.000000]\n# 10 requests had not ended";
        assert!(text.contains(said), "{text}");
        let rows = text.lines().skip(2).skip_while(|line| !line.starts_with('#'));
        assert!(rows.into_iter().all(|line| line.starts_with('#')), "{text}");
    }

    #[test]
    fn percentiles_are_in_the_plotters_format() {
        let text = hgrm(&[&run()]);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| {
                line.split_whitespace().map(|cell| cell.parse().expect("a number")).collect()
            })
            .collect();
        assert!(rows.is_sorted_by(|a, b| a[0] <= b[0] && a[2] <= b[2]));
        let last = rows.last().expect("rows");
        assert_eq!((last.len(), last[1], last[2]), (3, 1.0, 200.0));
        let median = rows.iter().find(|row| row[1] >= 0.5).expect("a median");
        assert!((median[0] - 1.0).abs() < 0.02, "{median:?}");
        assert!(text.contains("Total count    =          200]"), "{text}");
    }
}
