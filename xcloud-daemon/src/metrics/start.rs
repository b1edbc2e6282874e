//! Starts what the aggregator's flags ask for.

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::task::JoinSet;

use super::{
    agent::Agent,
    aggregator::Aggregator,
    http::Endpoint,
    otlp::{Exporter, Settings},
};
use crate::{
    cli::metrics::{AgentMetricsArgs, AggregatorMetricsArgs, LabelsArg},
    kernel::cost,
    load::environment::hostname,
    measure::{cumulative, tier::Tier, workload::Keep},
    usage::usage,
    wire::server::Hub,
};

/// Exports more often than this would be more than anybody reads, less often than that no news.
const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(1);

/// Serves and exports until the hub is stopped; sums are kept only if somebody gets them.
///
/// # Errors
/// A flag makes no sense or the address cannot be listened on.
pub async fn aggregator(
    args: &AggregatorMetricsArgs,
    retention: Duration,
    hub: &Arc<Hub>,
    servers: &mut JoinSet<Result<()>>,
) -> Result<()> {
    if args.metrics_max_series == 0 {
        return Err(usage("--metrics-max-series is 0, so no path would have series of its own"));
    }
    if !INTERVALS.contains(&args.otlp_interval) {
        return Err(usage(format!(
            "--otlp-interval is {:?}, not from 1s to 1h",
            args.otlp_interval
        )));
    }
    let tier = tier(args.metrics_labels, hub.read(|state| state.store().workloads.keep()))?;
    if args.scrape.metrics_listen.is_none() && args.otlp_endpoint.is_none() {
        return Ok(());
    }
    let source = Arc::new(Aggregator { hub: Arc::clone(hub), exports: Arc::default() });
    let exporter = args.otlp_endpoint.as_ref().map(|endpoint| {
        let (endpoint, interval) = (endpoint.clone(), args.otlp_interval);
        Exporter::new(Settings { endpoint, interval, instance: hostname() }, Arc::clone(&source))
    });
    let exporter = exporter.transpose()?;
    let endpoint = match args.scrape.metrics_listen {
        Some(address) => Some(Endpoint::bind(address).await?),
        None => None,
    };
    hub.keep_cumulative(cumulative::Limits {
        tier,
        most: args.metrics_max_series,
        idle_ns: u64::try_from(retention.as_nanos()).unwrap_or(u64::MAX),
    });
    if let Some(exporter) = exporter {
        let stop = hub.stop.clone();
        servers.spawn(async move {
            exporter.run(stop).await;
            Ok(())
        });
    }
    if let Some(endpoint) = endpoint {
        let stop = hub.stop.clone();
        servers.spawn(async move {
            tokio::select! {
                () = endpoint.serve(source) => {}
                () = stop.cancelled() => {}
            }
            Ok(())
        });
    }
    Ok(())
}

/// Serves for as long as the runtime is worked on; the kernel keeps statistics until what is returned is dropped.
///
/// # Errors
/// The address cannot be listened on, or the kernel keeps none.
pub async fn agent(args: &AgentMetricsArgs, source: Agent) -> Result<Option<OwnedFd>> {
    if let Some(address) = args.scrape.metrics_listen {
        tokio::spawn(Endpoint::bind(address).await?.serve(Arc::new(source)));
    }
    args.bpf_stats.then(cost::keep_statistics).transpose()
}

/// How finely paths are told apart, where names are kept as far as `names` says.
fn tier(labels: LabelsArg, names: Keep) -> Result<Tier> {
    let tier = match labels {
        LabelsArg::Cloud => Tier::Cloud,
        LabelsArg::Region => Tier::Region,
        LabelsArg::Zone => Tier::Zone,
        LabelsArg::Node => Tier::Node,
        LabelsArg::Workload => Tier::Workload,
        LabelsArg::Pair if names == Keep::Pod => Tier::Pod,
        LabelsArg::Pair => Tier::Pair,
    };
    if names < tier.shown().names {
        return Err(usage(
            "--metrics-labels tells workloads apart, and --names keeps none: \
             have --names workload, or --metrics-labels node",
        ));
    }
    Ok(tier)
}
