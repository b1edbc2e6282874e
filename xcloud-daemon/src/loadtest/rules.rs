//! What an endpoint takes part in, whatever the aggregator allows. Arithmetic only.

use std::{net::IpAddr, time::Duration};

use super::{spec::Spec, traffic::traffic};
use crate::cost::volume::Volume;

/// Limits of an endpoint.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Where its answering parts listen.
    pub listen: IpAddr,
    /// Longest test.
    pub max_duration: Duration,
    /// Most bytes on the wire, both ways.
    pub max_bytes: Option<u64>,
}

impl Rules {
    /// Whether a test is within them.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn allow(&self, spec: &Spec) -> Result<(), String> {
        if spec.whole_time() > self.max_duration {
            let most = humantime::format_duration(self.max_duration);
            return Err(format!("refused: the test takes longer than this endpoint's {most}"));
        }
        let Some(most) = self.max_bytes else { return Ok(()) };
        match traffic(spec) {
            Some(moved) if moved.sum() <= most => Ok(()),
            _ => Err(format!("refused: the test moves more than this endpoint's {}", Volume(most))),
        }
    }
}

#[cfg(test)]
mod tests {
    use xcloud_proto::loadtest::v1::{Probes, load_test_spec::Kind};

    use super::{super::spec::tests::asked, *};

    #[test]
    fn a_test_beyond_a_limit_is_refused() {
        // A second of probes: 100 of 92 B each way.
        let spec = Spec::read(&asked(Kind::Probes(Probes::default()))).expect("sound");
        let rules = |max_duration, max_bytes| Rules {
            listen: IpAddr::from([127, 0, 0, 1]),
            max_duration: Duration::from_secs(max_duration),
            max_bytes,
        };
        assert_eq!(rules(1, Some(18_400)).allow(&spec), Ok(()));
        assert!(rules(0, None).allow(&spec).is_err_and(|why| why.contains("longer")));
        assert!(rules(1, Some(18_399)).allow(&spec).is_err_and(|why| why.contains("more")));
    }
}
