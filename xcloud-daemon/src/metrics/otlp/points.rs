//! Metrics as OTLP's data points, in requests of bounded size.

use std::fmt;

use super::{
    attributes::attributes,
    message::{
        Buckets, ExponentialHistogram, ExponentialPoint, KeyValue, Metric, NumberPoint, Request,
        Resource, ResourceMetrics, Scope, ScopeMetrics, Sum, Temporality, attribute,
    },
};
use crate::{
    measure::exponential::{Exponential, SCALE},
    metrics::{
        Sample, Sink, Value,
        family::{Family, Kind},
    },
};

/// Most points in one request: with the longest histograms and labels some 2 MiB, half of what gRPC takes by default.
const MOST_POINTS: usize = 500;

/// Who exports, and when.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `service.instance.id`.
    pub instance: String,
    /// Start of what counts since the start, in nanoseconds since 1970.
    pub start_ns: u64,
    /// Now.
    pub now_ns: u64,
}

/// Points that are being put together; full requests are handed on.
pub struct Points<F> {
    frame: Frame,
    /// Takes a request; false when no more are wanted.
    hand_on: F,
    wanted: bool,
    metrics: Vec<Metric>,
    points: usize,
    family: Option<&'static Family>,
}

impl<F> fmt::Debug for Points<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Points").field("points", &self.points).finish_non_exhaustive()
    }
}

impl<F: FnMut(Request) -> bool> Points<F> {
    /// None yet.
    pub fn new(frame: Frame, hand_on: F) -> Self {
        Self { frame, hand_on, wanted: true, metrics: Vec::new(), points: 0, family: None }
    }

    /// Hands the last request on.
    pub fn finish(mut self) {
        self.flush();
    }

    fn flush(&mut self) {
        let metrics = std::mem::take(&mut self.metrics);
        if std::mem::take(&mut self.points) == 0 || !self.wanted {
            return;
        }
        let (name, version) = ("xcloud", env!("CARGO_PKG_VERSION"));
        let resource = Resource {
            attributes: vec![
                attribute("service.name", "xcloud-aggregator"),
                attribute("service.version", version),
                attribute("service.instance.id", &self.frame.instance),
            ],
        };
        let scope = Scope { name: name.into(), version: version.into() };
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics }];
        let resource_metrics = vec![ResourceMetrics { resource: Some(resource), scope_metrics }];
        self.wanted = (self.hand_on)(Request { resource_metrics });
    }

    /// An empty metric of the family that is told now.
    fn begin(&mut self) {
        let Some((family, name)) = self.family.and_then(|family| Some((family, family.otlp?)))
        else {
            return;
        };
        let cumulative = Temporality::Cumulative.into();
        let is_distribution = family.kind == Kind::Histogram;
        self.metrics.push(Metric {
            name: name.into(),
            description: family.help.into(),
            unit: match family.unit {
                "seconds" => "s",
                "bytes" => "By",
                _ => "1",
            }
            .into(),
            sum: (!is_distribution).then(|| Sum {
                data_points: Vec::new(),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            exponential_histogram: is_distribution.then(|| ExponentialHistogram {
                data_points: Vec::new(),
                aggregation_temporality: cumulative,
            }),
        });
    }
}

impl<F: FnMut(Request) -> bool + Send> Sink for Points<F> {
    fn family(&mut self, family: &'static Family) {
        self.family = Some(family).filter(|family| family.otlp.is_some());
        self.begin();
    }

    fn sample(&mut self, sample: Sample<'_>) {
        let Some(family) = self.family.filter(|_| self.wanted) else { return };
        if self.points == MOST_POINTS {
            self.flush();
            self.begin();
        }
        let attributes = attributes(family, sample.labels);
        let Some(metric) = self.metrics.last_mut() else { return };
        let since_ns = if sample.since_ns == 0 { self.frame.start_ns } else { sample.since_ns };
        match (sample.value, &mut metric.exponential_histogram, &mut metric.sum) {
            (Value::Times(times), Some(histogram), _) => {
                histogram.data_points.push(distribution(times, attributes, since_ns, &self.frame));
            }
            (Value::Count(count), _, Some(sum)) => sum.data_points.push(NumberPoint {
                attributes,
                start_time_unix_nano: since_ns,
                time_unix_nano: self.frame.now_ns,
                as_int: Some(i64::try_from(count).unwrap_or(i64::MAX)),
            }),
            // No exported family is of numbers with a fraction.
            _ => return,
        }
        self.points += 1;
    }
}

fn distribution(
    times: &Exponential,
    attributes: Vec<KeyValue>,
    since_ns: u64,
    frame: &Frame,
) -> ExponentialPoint {
    let (first, counts) = times.buckets();
    ExponentialPoint {
        attributes,
        start_time_unix_nano: since_ns,
        time_unix_nano: frame.now_ns,
        count: times.count(),
        sum: Some(times.sum()),
        scale: SCALE,
        zero_count: times.zero(),
        // OTLP numbers a bucket by its lower bound, Prometheus by its upper.
        positive: Some(Buckets { offset: first - 1, bucket_counts: counts.to_vec() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        measure::exponential::upper,
        metrics::{family, write},
    };

    fn frame() -> Frame {
        Frame { instance: "one".into(), start_ns: 5, now_ns: 9 }
    }

    /// All requests that a source's telling makes.
    fn requests(tell: impl FnOnce(&mut dyn Sink)) -> Vec<Request> {
        let mut requests = Vec::new();
        let mut points = Points::new(frame(), |request| {
            requests.push(request);
            true
        });
        tell(&mut points);
        points.finish();
        requests
    }

    fn metrics(requests: &[Request]) -> Vec<&Metric> {
        let resources = requests.iter().flat_map(|request| &request.resource_metrics);
        resources.flat_map(|one| &one.scope_metrics).flat_map(|one| &one.metrics).collect()
    }

    proptest! {
        #[test]
        fn every_value_lies_in_the_bucket_that_otlp_defines(values in vec(1u64..1 << 38, 1..60)) {
            let mut times = Exponential::default();
            values.iter().for_each(|ns| times.record(*ns));
            let point = distribution(&times, Vec::new(), 1, &frame());
            let buckets = point.positive.expect("values above zero");
            // By the letter of the definition: base = 2^(2^-scale), bucket i in (base^i, base^(i+1)].
            let base = 2f64.powf(2f64.powi(-point.scale));
            for (at, count) in (buckets.offset..).zip(&buckets.bucket_counts) {
                let (low, high) = (base.powi(at) * 1e9, base.powi(at + 1) * 1e9);
                let inside = values.iter().filter(|ns| {
                    let ns = **ns as f64;
                    ns > low * (1.0 + 1e-12) && ns <= high * (1.0 + 1e-12)
                });
                prop_assert_eq!(inside.count() as u64, *count);
                prop_assert!((upper(at + 1) * 1e9 / high - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn points_carry_the_conventions_names_and_the_time_they_count_since() {
        let mut labels = [""; family::DATAPATH.labels.len()];
        labels[0] = "aws";
        labels[18..].copy_from_slice(&["ack", "wan"]);
        let mut times = Exponential::default();
        times.record(1_000_000);
        let told = requests(|sink| {
            write(sink, &family::DATAPATH, &[(&labels, Value::Times(&times))]);
            write(sink, &family::PENDING, &[(&[], Value::Count(3))]);
            write(sink, &family::LOST, &[(&["kernel", "ring"], Value::Count(7))]);
        });
        let metrics = metrics(&told);
        let names: Vec<_> = metrics.iter().map(|one| (&one.name[..], &one.unit[..])).collect();
        assert_eq!(names, [("xcloud.datapath.latency", "s"), ("xcloud.observations.lost", "1")]);
        let histogram = metrics[0].exponential_histogram.as_ref().expect("a distribution");
        let point = &histogram.data_points[0];
        assert_eq!(point.attributes.len(), 3, "labels that are empty are left out");
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (5, 9));
        let sum = metrics[1].sum.as_ref().expect("a sum");
        assert!(sum.is_monotonic && sum.aggregation_temporality() == Temporality::Cumulative);
        assert_eq!(sum.data_points[0].as_int, Some(7));
    }

    #[test]
    fn many_points_are_several_requests_and_none_is_lost() {
        let told = requests(|sink| {
            sink.family(&family::LOST);
            for count in 0..1_200 {
                let labels = ["kernel", "ring"];
                sink.sample(Sample { labels: &labels, since_ns: 0, value: Value::Count(count) });
            }
        });
        let points = |request: &Request| -> usize {
            let sums = metrics(std::slice::from_ref(request));
            sums.iter().filter_map(|one| one.sum.as_ref()).map(|sum| sum.data_points.len()).sum()
        };
        assert_eq!(told.iter().map(points).collect::<Vec<_>>(), [500, 500, 200]);
    }

    #[test]
    fn nothing_more_is_made_once_no_more_is_wanted() {
        let mut handed = 0;
        let mut points = Points::new(frame(), |_| {
            handed += 1;
            false
        });
        for _ in 0..3 {
            points.family(&family::LOST);
            for count in 0..600 {
                let labels = ["kernel", "ring"];
                points.sample(Sample { labels: &labels, since_ns: 0, value: Value::Count(count) });
            }
        }
        points.finish();
        assert_eq!(handed, 1);
    }
}
