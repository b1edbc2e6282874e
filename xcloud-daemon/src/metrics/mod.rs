//! What other systems are told: metrics by Prometheus's exposition formats and by OTLP.
//!
//! A source ([`aggregator`], [`agent`]) tells a [`Sink`] family by family what there is ([`family`]); sinks write it down
//! as text ([`text`]), as Prometheus's protocol buffers ([`protobuf`]) or as OTLP ([`otlp`]). [`http`] answers scrapes,
//! piece by piece as they are told, so that no answer is in memory as a whole.

pub mod agent;
pub mod aggregator;
pub mod family;
pub mod http;
pub mod negotiate;
pub mod otlp;
pub mod process;
pub mod protobuf;
pub mod start;
pub mod text;

use crate::measure::exponential::Exponential;
use family::Family;

/// A sample's value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A count.
    Count(u64),
    /// A measure.
    Number(f64),
    /// A distribution of times.
    Times(&'a Exponential),
}

impl Value<'_> {
    /// As a floating-point number; the number of values of a distribution.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        match self {
            Self::Count(count) => *count as f64,
            Self::Number(number) => *number,
            Self::Times(times) => times.count() as f64,
        }
    }
}

/// One value of a family.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Label values, in the order of the family's names; one that is empty is left out.
    pub labels: &'a [&'a str],
    /// Since when it counts, in nanoseconds since 1970; 0 for the start.
    pub since_ns: u64,
    /// The value.
    pub value: Value<'a>,
}

/// Where metrics go: a family, then its samples, then the next family.
pub trait Sink: Send {
    /// The next samples are of this family.
    fn family(&mut self, family: &'static Family);

    /// One sample of the family.
    fn sample(&mut self, sample: Sample<'_>);
}

/// A sink that writes, and from which what is written is taken piece by piece.
pub trait Written: Sink {
    /// Nothing more will come.
    fn end(&mut self);

    /// What is written by now and was not taken yet, or a part of it; nothing where that is no more than `least` bytes.
    fn next(&mut self, least: usize) -> Option<Vec<u8>>;
}

/// Writes a family with few labels.
pub(crate) fn write(
    sink: &mut dyn Sink,
    family: &'static Family,
    samples: &[(&[&str], Value<'_>)],
) {
    sink.family(family);
    for (labels, value) in samples {
        sink.sample(Sample { labels, since_ns: 0, value: *value });
    }
}

/// What can be asked for its metrics, by a thread that may take its time.
pub trait Source: Send + Sync + 'static {
    /// Tells everything there is.
    fn tell(&self, sink: &mut dyn Sink);
}
