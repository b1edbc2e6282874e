//! Metrics as Prometheus's protocol buffers: `io.prometheus.client.MetricFamily` messages, each after its length. The
//! only format that carries native histograms; the classic buckets are in it beside them.

use std::{collections::VecDeque, iter, mem};

use prost::{Message, encoding};

use super::{
    Sample, Sink, Value, Written,
    family::{Family, Kind},
};
use crate::measure::exponential::{Exponential, SCALE};

/// Values up to here are in the zero bucket. Only zero is; above zero, so that a histogram without values is native too.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// Field of a family that holds its metrics.
const METRIC: u32 = 4;

/// Bytes of a family's metrics that are not copied behind others.
const MANY: usize = 1 << 16;

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(enumeration = "MetricType", tag = "3")]
    r#type: i32,
    #[prost(string, tag = "5")]
    unit: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Plain>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Plain>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A gauge's or counter's value.
#[derive(Clone, Copy, PartialEq, Message)]
struct Plain {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// Messages that are being written.
#[derive(Debug, Default)]
pub struct Protobuf {
    family: Option<&'static Family>,
    /// The family's metrics, encoded.
    metrics: Vec<u8>,
    /// Families that are complete; those of many metrics in pieces of their own, to spare a copy.
    pieces: VecDeque<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Protobuf {
    /// All of them.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.end();
        iter::from_fn(|| self.next(0)).flatten().collect()
    }

    fn end_family(&mut self) {
        let Some(family) = self.family.take() else { return };
        let head = MetricFamily {
            name: family.name.into(),
            help: family.help.into(),
            r#type: match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            }
            .into(),
            unit: family.unit.into(),
        }
        .encode_to_vec();
        // Fields may come in any order.
        let length = head.len() + self.metrics.len();
        encoding::encode_varint(length as u64, &mut self.bytes);
        self.bytes.extend(head);
        if self.metrics.len() < MANY {
            self.bytes.append(&mut self.metrics);
        } else {
            self.pieces.extend([mem::take(&mut self.bytes), mem::take(&mut self.metrics)]);
        }
    }
}

impl Written for Protobuf {
    fn end(&mut self) {
        self.end_family();
    }

    fn next(&mut self, least: usize) -> Option<Vec<u8>> {
        let rest = |bytes: &mut Vec<u8>| (bytes.len() > least).then(|| mem::take(bytes));
        self.pieces.pop_front().or_else(|| rest(&mut self.bytes))
    }
}

impl Sink for Protobuf {
    fn family(&mut self, family: &'static Family) {
        self.end_family();
        self.family = Some(family);
    }

    fn sample(&mut self, Sample { labels, value, .. }: Sample<'_>) {
        let Some(family) = self.family else { return };
        let pairs = family.labels.iter().zip(labels).filter(|(_, value)| !value.is_empty());
        let label = pairs
            .map(|(name, value)| LabelPair { name: (*name).into(), value: (*value).into() })
            .collect();
        let mut metric = Metric { label, ..Metric::default() };
        match (value, family.kind) {
            (Value::Times(times), _) => metric.histogram = Some(histogram(times)),
            (plain, Kind::Counter) => metric.counter = Some(Plain { value: plain.as_f64() }),
            (plain, _) => metric.gauge = Some(Plain { value: plain.as_f64() }),
        }
        encoding::message::encode(METRIC, &metric, &mut self.metrics);
    }
}

fn histogram(times: &Exponential) -> Histogram {
    let (positive_span, positive_delta) = spans(times);
    Histogram {
        sample_count: times.count(),
        sample_sum: times.sum(),
        bucket: times
            .classic()
            .map(|(upper_bound, cumulative_count)| Bucket { cumulative_count, upper_bound })
            .collect(),
        schema: SCALE,
        zero_threshold: ZERO_THRESHOLD,
        zero_count: times.zero(),
        positive_span,
        positive_delta,
    }
}

/// Runs of buckets in use, each by how many are skipped before it, and each count as the difference to the one before.
fn spans(times: &Exponential) -> (Vec<BucketSpan>, Vec<i64>) {
    let (first, counts) = times.buckets();
    let (mut spans, mut deltas) = (Vec::<BucketSpan>::new(), Vec::new());
    let (mut skipped, mut before) = (first, 0);
    for count in counts {
        if *count == 0 {
            skipped += 1;
            continue;
        }
        match spans.last_mut() {
            Some(span) if skipped == 0 => span.length += 1,
            _ => spans.push(BucketSpan { offset: mem::take(&mut skipped), length: 1 }),
        }
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - mem::replace(&mut before, count));
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{super::family, *};
    use crate::measure::exponential::number;

    /// What a reader makes of spans and differences: counts by the number of their bucket.
    fn read(histogram: &Histogram) -> Vec<(i32, u64)> {
        let mut deltas = histogram.positive_delta.iter();
        let (mut at, mut count) = (0, 0);
        let mut buckets = Vec::new();
        for span in &histogram.positive_span {
            at += span.offset;
            for _ in 0..span.length {
                count += deltas.next().expect("as many as the spans have");
                buckets.push((at, u64::try_from(count).expect("a count")));
                at += 1;
            }
        }
        assert_eq!(deltas.next(), None);
        buckets
    }

    proptest! {
        #[test]
        fn a_reader_finds_every_value_in_its_bucket(values in vec(0u64..1 << 36, 0..100)) {
            let mut times = Exponential::default();
            let mut wanted = std::collections::BTreeMap::<i32, u64>::new();
            for ns in values {
                times.record(ns);
                if ns > 0 {
                    *wanted.entry(number(ns)).or_default() += 1;
                }
            }
            let message = histogram(&times);
            prop_assert_eq!(read(&message), wanted.into_iter().collect::<Vec<_>>());
            prop_assert_eq!((message.sample_count, message.zero_count), (times.count(), times.zero()));
        }
    }

    #[derive(Clone, PartialEq, Message)]
    struct Whole {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(enumeration = "MetricType", tag = "3")]
        r#type: i32,
        #[prost(message, repeated, tag = "4")]
        metric: Vec<Metric>,
    }

    #[test]
    fn pieces_of_large_families_are_the_same_as_all_of_it() {
        let write = |sink: &mut Protobuf, step: &mut dyn FnMut(&mut Protobuf)| {
            for (family, samples) in
                [(&family::REFUSED, 3), (&family::LOST, 9_000), (&family::REFUSED, 1)]
            {
                sink.family(family);
                step(sink);
                for count in 0..samples {
                    let labels = &["x", "y"][..family.labels.len()];
                    sink.sample(Sample { labels, since_ns: 0, value: Value::Count(count) });
                }
            }
        };
        let mut whole = Protobuf::default();
        write(&mut whole, &mut |_| {});
        let whole = whole.finish();
        let mut pieces = Vec::new();
        let mut sink = Protobuf::default();
        write(&mut sink, &mut |sink| pieces.extend(iter::from_fn(|| sink.next(1_000))));
        sink.end();
        pieces.extend(iter::from_fn(|| sink.next(0)));
        assert_eq!(pieces.concat(), whole);
        assert!(pieces.len() > 2 && whole.len() > 2 * MANY);
    }

    #[test]
    fn families_come_one_after_the_other_each_after_its_length() {
        let mut sink = Protobuf::default();
        super::super::write(&mut sink, &family::PENDING, &[(&[], Value::Count(7))]);
        super::super::write(
            &mut sink,
            &family::LOST,
            &[(&["kernel", "ring"], Value::Count(3)), (&["", "slot"], Value::Count(4))],
        );
        super::super::write(&mut sink, &family::REFUSED, &[]);
        let bytes = sink.finish();
        let mut rest = &bytes[..];
        let mut families = Vec::new();
        while !rest.is_empty() {
            families.push(Whole::decode_length_delimited(&mut rest).expect("whole messages"));
        }
        let counts: Vec<_> = families.iter().map(|it| (&it.name[..], it.metric.len())).collect();
        let names = [
            "xcloud_observations_pending",
            "xcloud_observations_lost_total",
            "xcloud_refused_total",
        ];
        assert_eq!(counts, [(names[0], 1), (names[1], 2), (names[2], 0)]);
        let slot = &families[1].metric[1];
        assert_eq!(slot.label, [LabelPair { name: "reason".into(), value: "slot".into() }]);
        assert_eq!(slot.counter, Some(Plain { value: 4.0 }));
    }
}
