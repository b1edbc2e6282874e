//! Ends a load test early and in good order on Ctrl-C; a second one ends it at once.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Set once somebody wants the end.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// Whether somebody wants the end.
pub(crate) fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// From now on, signals set [`STOP`].
pub(crate) fn catch() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(stop), SaFlags::SA_RESETHAND, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler only stores to an atomic.
        unsafe { sigaction(signal, &action) }.context("catching signals")?;
    }
    Ok(())
}
