//! What tests may take: told before they start, and refused beyond. Arithmetic only.

use std::time::Duration;

use humantime::format_duration;
use xcloud_proto::loadtest::v1::Estimate as WireEstimate;

use super::{
    spec::{Kind, Pace, Spec},
    traffic::{Traffic, requests_within, traffic},
};
use crate::cost::{
    estimate::{self, Estimate},
    money::Money,
    tariff::Tariffs,
    volume::Volume,
};

/// What one test may take at most; what is not given is not limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bits per second, in each direction.
    pub bits_per_second: Option<u64>,
    /// Bytes on the wire, both directions.
    pub bytes: Option<u64>,
    /// Millionths of a US dollar.
    pub micro_usd: Option<u64>,
    /// Time during which load is sent.
    pub duration: Duration,
}

/// Why a test is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over(pub String);

/// A test that is within the limits, and what it is going to move.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowed {
    /// As it will be made.
    pub spec: Spec,
    /// What it moves and costs.
    pub estimate: WireEstimate,
}

impl Limits {
    /// Whether a test between two places, each `cloud/region/zone`, may be made. What names no rate is held to the
    /// highest allowed.
    ///
    /// # Errors
    /// It may not; says over which limit it is.
    pub fn allow(
        &self,
        spec: &Spec,
        ends: (&str, &str),
        tariffs: &Tariffs,
    ) -> Result<Allowed, Over> {
        let spec = self.bounded(spec)?;
        let moved = traffic(&spec).ok_or_else(|| Over("what it moves has no bound".into()))?;
        self.check_time(&spec)?;
        self.check_rate(&spec, moved)?;
        if let Some(most) = self.bytes.filter(|most| moved.sum() > *most) {
            let (moved, most) = (Volume(moved.sum()), Volume(most));
            return Err(Over(format!("it moves {moved}; --load-max-bytes is {most}")));
        }
        let there = estimate::estimate(ends.0, ends.1, moved.forward, tariffs);
        let back = estimate::estimate(ends.1, ends.0, moved.backward, tariffs);
        let usd = there.usd.zip(back.usd).map(|(there, back)| there + back);
        self.check_price(usd)?;
        let estimate = WireEstimate {
            forward_bytes: moved.forward,
            backward_bytes: moved.backward,
            micro_usd: usd.map(micro_usd),
            text: tell(&there, &back, usd),
        };
        Ok(Allowed { spec, estimate })
    }

    /// The test, held to the highest rate where it names none.
    fn bounded(&self, spec: &Spec) -> Result<Spec, Over> {
        let mut spec = spec.clone();
        let highest = || {
            self.bits_per_second.ok_or_else(|| {
                Over(
                    "without a rate what it moves is bounded by nothing: name one, or have the aggregator started with \
                     --load-max-rate"
                        .into(),
                )
            })
        };
        match &mut spec.kind {
            Kind::Throughput { bits_per_second: rate @ None, .. } => *rate = Some(highest()?),
            Kind::Requests {
                protocol,
                pace: Pace::AsAnswered(most),
                request_bytes,
                response_bytes,
                ..
            } => {
                let sizes = (*request_bytes, *response_bytes);
                let within = |rate| requests_within(rate, spec.duration, *protocol, sizes);
                *most = match (*most, self.bits_per_second) {
                    (Some(most), None) => Some(most),
                    (Some(most), Some(rate)) => Some(most.min(within(rate))),
                    (None, _) => Some(within(highest()?)),
                };
            }
            _ => {}
        }
        Ok(spec)
    }

    fn check_time(&self, spec: &Spec) -> Result<(), Over> {
        let (asked, most) = (spec.whole_time(), self.duration);
        if asked <= most {
            return Ok(());
        }
        let (asked, most) = (format_duration(asked), format_duration(most));
        Err(Over(format!("it takes {asked}; --load-max-duration is {most}")))
    }

    /// Payload where a rate is named, as all who name rates mean that; whole packets otherwise.
    fn check_rate(&self, spec: &Spec, moved: Traffic) -> Result<(), Over> {
        let Some(most) = self.bits_per_second else { return Ok(()) };
        let asked = match spec.kind {
            Kind::Throughput { bits_per_second, .. } => bits_per_second.unwrap_or(0).into(),
            Kind::Requests { .. } | Kind::Probes { .. } => {
                let bits = u128::from(moved.forward.max(moved.backward)) * 8 * 1_000_000_000;
                bits / spec.duration.as_nanos().max(1)
            }
        };
        if asked <= most.into() {
            return Ok(());
        }
        Err(Over(format!("it sends {asked} bit/s; --load-max-rate is {most} bit/s")))
    }

    fn check_price(&self, usd: Option<Money>) -> Result<(), Over> {
        let Some(most) = self.micro_usd else { return Ok(()) };
        let shown = most as f64 / 1e6;
        match usd {
            Some(usd) if micro_usd(usd) <= most => Ok(()),
            Some(usd) => Err(Over(format!("it costs {usd} USD; --load-max-usd is {shown}"))),
            None => Err(Over(format!(
                "what it costs is not known for these places, so --load-max-usd {shown} cannot be kept"
            ))),
        }
    }
}

/// Millionths of a dollar, rounded up.
fn micro_usd(usd: Money) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let micro = (usd.approximate() * 1e6).ceil().clamp(0.0, 1e18) as u64;
    micro
}

fn tell(there: &Estimate, back: &Estimate, usd: Option<Money>) -> String {
    let (from, to) = &there.ends;
    let price =
        usd.map_or_else(|| "at a price that is not known".into(), |usd| format!("about {usd} USD"));
    format!(
        "moves up to {} {from} -> {to} and {} back, {price}",
        Volume(there.bytes),
        Volume(back.bytes)
    )
}

#[cfg(test)]
mod tests {
    use xcloud_proto::loadtest::v1::RequestProtocol;

    use super::*;

    const ENDS: (&str, &str) = ("aws/us-east-1/a/n1", "gcp/us-central1/b/n2");

    fn spec(bits_per_second: Option<u64>) -> Spec {
        Spec {
            from: "a".into(),
            to: "b".into(),
            duration: Duration::from_secs(360),
            name: "throughput".into(),
            kind: Kind::Throughput {
                streams: 1,
                udp: false,
                bits_per_second,
                reverse: false,
                omit: Duration::ZERO,
            },
        }
    }

    fn none() -> Limits {
        Limits {
            bits_per_second: None,
            bytes: None,
            micro_usd: None,
            duration: Duration::from_secs(3600),
        }
    }

    fn judge(limits: &Limits, spec: &Spec, ends: (&str, &str)) -> Result<Allowed, String> {
        let tariffs = Tariffs::built_in().expect("sound");
        limits.allow(spec, ends, &tariffs).map_err(|over| over.0)
    }

    #[test]
    fn a_test_within_all_limits_says_what_it_moves() {
        let allowed = judge(&none(), &spec(Some(1_000_000_000)), ENDS).expect("allowed");
        let WireEstimate { forward_bytes, backward_bytes, micro_usd, text } = allowed.estimate;
        assert!(forward_bytes > 45_000_000_000 && backward_bytes < forward_bytes / 10, "{text}");
        assert!(
            micro_usd.is_some_and(|usd| (4_050_000..5_000_000).contains(&usd)),
            "{micro_usd:?}"
        );
        assert!(text.starts_with("moves up to 4"), "{text}");
        assert!(text.contains("aws/us-east-1/a/n1 -> gcp/us-central1/b/n2"), "{text}");
    }

    #[test]
    fn each_limit_is_named_when_it_is_passed() {
        let test = spec(Some(1_000_000_000));
        for (limits, flag) in [
            (Limits { bits_per_second: Some(999_999_999), ..none() }, "--load-max-rate"),
            (Limits { bytes: Some(45_000_000_000), ..none() }, "--load-max-bytes"),
            (Limits { micro_usd: Some(4_000_000), ..none() }, "--load-max-usd"),
            (Limits { duration: Duration::from_secs(359), ..none() }, "--load-max-duration"),
        ] {
            let error = judge(&limits, &test, ENDS).expect_err(flag);
            assert!(error.contains(flag), "{error}");
        }
    }

    #[test]
    fn no_rate_is_the_highest_allowed_or_none() {
        let error = judge(&none(), &spec(None), ENDS).expect_err("unbounded");
        assert!(error.contains("--load-max-rate"), "{error}");
        let limits = Limits { bits_per_second: Some(5_000_000), ..none() };
        let allowed = judge(&limits, &spec(None), ENDS).expect("allowed").spec;
        assert_eq!(allowed, spec(Some(5_000_000)));
    }

    #[test]
    fn requests_without_a_rate_are_held_to_as_many_as_it_allows() {
        let requests = |most| Spec {
            kind: Kind::Requests {
                protocol: RequestProtocol::Rr,
                pace: Pace::AsAnswered(most),
                connections: 1,
                request_bytes: 1,
                response_bytes: 1,
                threads: 1,
            },
            ..spec(None)
        };
        let error = judge(&none(), &requests(None), ENDS).expect_err("unbounded");
        assert!(error.contains("--load-max-rate"), "{error}");
        let limits = Limits { bits_per_second: Some(5_000_000), ..none() };
        let held = judge(&limits, &requests(None), ENDS).expect("allowed").spec;
        let Kind::Requests { pace: Pace::AsAnswered(Some(most)), .. } = held.kind else {
            panic!("{held:?}")
        };
        assert!(most > 100_000, "{most}");
        let of = |most| judge(&limits, &requests(Some(most)), ENDS).expect("allowed").spec;
        assert_eq!(of(10), requests(Some(10)));
        assert_eq!(of(u64::MAX), held);
    }

    #[test]
    fn an_unknown_price_keeps_no_limit_of_money() {
        let (ends, test) = (("lab/a", "lab/b"), spec(Some(1)));
        assert_eq!(judge(&none(), &test, ends).expect("allowed").estimate.micro_usd, None);
        let limits = Limits { micro_usd: Some(u64::MAX), ..none() };
        let error = judge(&limits, &test, ends).expect_err("unknown");
        assert!(error.contains("not known"), "{error}");
    }
}
