//! How often another agent may displace a hook before it is left to them.
//!
//! A CNI that restarts or is upgraded displaces us once, and being first again harms nobody. An agent that also insists
//! on being first does it again and again; then neither would ever have peace, and packets would be missed in between,
//! which makes figures wrong without a sign.

use std::{collections::VecDeque, time::Duration};

/// Most displacements within [`WINDOW`].
const MOST: usize = 5;
const WINDOW: Duration = Duration::from_mins(10);

/// The latest displacements of one interface's hooks.
#[derive(Clone, Debug, Default)]
pub struct Patience(VecDeque<Duration>);

impl Patience {
    /// Takes in a displacement at a moment of some steady clock; returns whether that was once too often.
    pub fn displaced(&mut self, now: Duration) -> bool {
        self.0.push_back(now);
        while self.0.front().is_some_and(|first| now.saturating_sub(*first) > WINDOW) {
            self.0.pop_front();
        }
        self.0.len() > MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Displacements every so many seconds until patience ends, or none after a hundred.
    fn ends_after(seconds: u64) -> Option<u64> {
        let mut patience = Patience::default();
        (1..=100).find(|times| patience.displaced(Duration::from_secs(times * seconds)))
    }

    #[test]
    fn an_agent_that_insists_wears_it_out_and_one_that_restarts_now_and_then_does_not() {
        assert_eq!(ends_after(2), Some(6));
        assert_eq!(ends_after(100), Some(6));
        assert_eq!(ends_after(121), None);
        assert_eq!(ends_after(3_600), None);
    }
}
