//! From values to places in a picture.

use crate::run_report::figure::figure;

/// Times that lie this many times apart are drawn on a logarithmic axis.
const WIDE: f64 = 20.0;

/// One direction of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What is on it.
    pub name: String,
    /// Where lines are drawn, and their words.
    pub ticks: Vec<(f64, String)>,
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// An axis with ticks of one's own.
    #[must_use]
    pub fn fixed(name: &str, low: f64, high: f64, ticks: Vec<(f64, String)>) -> Self {
        Self { name: name.into(), ticks, low, high: high.max(low + f64::EPSILON), log: false }
    }

    /// From zero, or logarithmic where values lie far apart and all above zero, up to the highest value.
    #[must_use]
    pub fn over(
        name: &str,
        unit: &str,
        values: impl Iterator<Item = f64> + Clone,
        wide: bool,
    ) -> Self {
        let values = values.filter(|value| value.is_finite());
        let high = values.clone().fold(0.0, f64::max);
        let low = values.fold(f64::INFINITY, f64::min);
        if wide && low > 0.0 && high > low * WIDE {
            return Self::logarithmic(name, unit, low, high);
        }
        let low = if low.is_finite() { low.min(0.0) } else { 0.0 };
        let step = step(if high > low { high - low } else { 1.0 });
        let high = (high / step).ceil().max(1.0) * step;
        let low = (low / step).floor() * step;
        let count = ((high - low) / step).round();
        let ticks = (0u16..=12)
            .map(f64::from)
            .take_while(|at| *at <= count)
            .map(|at| low + at * step)
            .map(|value| (value, words(value, unit)));
        Self { name: name.into(), ticks: ticks.collect(), low, high, log: false }
    }

    fn logarithmic(name: &str, unit: &str, low: f64, high: f64) -> Self {
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        // More than six lines are too close to read.
        let skip = ((high - low) / 6.0).ceil().max(1.0);
        let ticks = (0u16..)
            .map(|at| low + f64::from(at) * skip)
            .take_while(|tenth| *tenth <= high)
            .map(|tenth| 10f64.powf(tenth))
            .map(|value| (value, words(value, unit)));
        let ticks = ticks.collect();
        Self { name: name.into(), ticks, low: 10f64.powf(low), high: 10f64.powf(high), log: true }
    }

    /// Where a value lies between two places; what is beyond lies at the end.
    #[must_use]
    pub fn at(&self, value: f64, from: f64, to: f64) -> f64 {
        let value = if value.is_finite() { value.clamp(self.low, self.high) } else { self.low };
        let share = if self.log {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        from + if share.is_finite() { share * (to - from) } else { 0.0 }
    }
}

/// A round step that makes four to eight of a range.
fn step(range: f64) -> f64 {
    let tenth = 10f64.powf((range / 4.0).log10().floor());
    [5.0, 2.0]
        .into_iter()
        .map(|times| times * tenth)
        .find(|step| range / step >= 4.0)
        .unwrap_or(tenth)
}

/// A figure without zeros that say nothing.
fn words(value: f64, unit: &str) -> String {
    let text = figure(value, unit);
    let (number, rest) = text.split_once(' ').unwrap_or((&text, ""));
    if value == 0.0 {
        "0".into()
    } else if number.contains('.') && !number.contains('e') {
        let number = number.trim_end_matches('0').trim_end_matches('.');
        format!("{number} {rest}").trim_end().into()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_values_start_at_zero_and_far_ones_are_logarithmic() {
        let near = Axis::over("time", "ns", [40e6, 41e6].into_iter(), true);
        let words: Vec<_> = near.ticks.iter().map(|(_, words)| &**words).collect();
        assert_eq!(words, ["0", "10 ms", "20 ms", "30 ms", "40 ms", "50 ms"]);
        let far = Axis::over("time", "ns", [300e3, 2e9].into_iter(), true);
        let words: Vec<_> = far.ticks.iter().map(|(_, words)| &**words).collect();
        assert_eq!(words, ["100 us", "1 ms", "10 ms", "100 ms", "1 s", "10 s"]);
    }

    proptest! {
        #[test]
        fn every_value_lies_inside(values in proptest::collection::vec(any::<f64>(), 0..9), wide in any::<bool>()) {
            let axis = Axis::over("x", "1", values.iter().copied(), wide);
            prop_assert!(axis.ticks.len() <= 13);
            for value in values {
                let at = axis.at(value, 10.0, 20.0);
                prop_assert!((9.99..=20.01).contains(&at), "{} at {}", value, at);
            }
        }
    }
}
