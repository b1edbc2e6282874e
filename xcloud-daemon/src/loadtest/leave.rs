//! From an aggregator's flags to what it lets load tests do.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::{director::Director, limits::Limits, spec::LONGEST};
use crate::{cli::loadtest::LeaveArgs, usage::usage};

/// Whoever makes tests as the flags allow.
///
/// # Errors
/// The flags make no sense, or results cannot be kept where they say.
pub fn director(args: &LeaveArgs, stop: CancellationToken) -> Result<Arc<Director>> {
    let Some(limits) = limits(args)? else { return Director::idle(stop) };
    tracing::info!("aggregator: makes load tests between endpoints when asked");
    Director::new(limits, args.load_results.as_deref(), stop)
}

/// What tests may take; nothing where none are made.
///
/// # Errors
/// The flags make no sense.
pub fn limits(args: &LeaveArgs) -> Result<Option<Limits>> {
    let limited = args.load_max_rate.is_some()
        || args.load_max_bytes.is_some()
        || args.load_max_usd.is_some()
        || args.load_results.is_some();
    if !args.allow_load_tests {
        return if limited {
            Err(usage("--load-… is given without --allow-load-tests, so no test is made at all"))
        } else {
            Ok(None)
        };
    }
    if args.load_max_rate == Some(0) || args.load_max_duration < Duration::from_secs(1) {
        return Err(usage("--load-max-rate of 0 or --load-max-duration below 1s allow no test"));
    }
    Ok(Some(Limits {
        bits_per_second: args.load_max_rate,
        bytes: args.load_max_bytes.map(|volume| volume.0),
        micro_usd: args.load_max_usd,
        duration: args.load_max_duration.min(LONGEST),
    }))
}
