//! Whether an agent does what it is there for: its hooks are on, and somebody takes what they see.

use std::time::Duration;

/// How long nobody may take it: an aggregator that restarts is back within that.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was last known of the aggregator.
#[derive(Debug, Default)]
pub struct Wellness {
    connected: Option<Duration>,
}

impl Wellness {
    /// Whether the agent is ready, as things are now.
    pub fn is_ready(&mut self, now: Duration, hooked: bool, connected: bool) -> bool {
        if connected {
            self.connected = Some(now);
        }
        hooked && self.connected.is_some_and(|last| now.saturating_sub(last) <= PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_with_hooks_and_an_aggregator_and_bears_its_restart() {
        let mut wellness = Wellness::default();
        let mut ready = |seconds, hooked, connected| {
            wellness.is_ready(Duration::from_secs(seconds), hooked, connected)
        };
        assert!(!ready(0, true, false), "it was never connected");
        assert!(!ready(1, false, true), "no hook is on");
        assert!(ready(2, true, true));
        assert!(ready(32, true, false), "the aggregator restarts");
        assert!(!ready(33, true, false), "it does not come back");
        assert!(ready(90, true, true));
    }
}
