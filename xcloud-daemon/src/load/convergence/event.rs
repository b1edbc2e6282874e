//! The command that changes the network.

use anyhow::Result;

use crate::load::{
    interrupt, shell,
    stamp::clock::{Clock, monotonic_ns},
};

/// When the command ran and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Since the start of the run.
    pub started_ns: u64,
    /// Until it ended.
    pub took_ns: u64,
    /// Its exit code, or minus the signal that ended it.
    pub code: i32,
    /// It had not ended when the time was over.
    pub killed: bool,
}

/// Runs a command in the shell, until `end_ns` at most. What it says goes to standard error.
///
/// # Errors
/// There is no shell.
pub fn run(command: &str, clock: Clock, end_ns: u64) -> Result<Event> {
    let began_ns = monotonic_ns();
    let over = || monotonic_ns() >= end_ns || interrupt::stopped();
    let ended = shell::run(command, &[], over)?;
    let started_ns = began_ns.saturating_sub(clock.start_ns());
    let took_ns = monotonic_ns() - began_ns;
    Ok(Event { started_ns, took_ns, code: ended.code(), killed: ended.killed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(command: &str, for_ns: u64) -> Event {
        run(command, Clock::new(), monotonic_ns() + for_ns).expect("a shell")
    }

    #[test]
    fn a_commands_end_is_told() {
        let ends = ["exit 3", "kill -9 $$"].map(|command| event(command, 60_000_000_000));
        assert_eq!(ends.map(|event| (event.code, event.killed)), [(3, false), (-9, false)]);
    }

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let event = event("sleep 600", 50_000_000);
        assert_eq!((event.code, event.killed), (-9, true));
    }
}
