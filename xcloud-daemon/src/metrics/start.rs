//! Starts what the aggregator's flags ask for.

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::task::JoinSet;

use super::{
    agent::Agent,
    aggregator::Aggregator,
    http::Endpoint,
    otlp::{Exporter, Settings, headers::Headers, is_secure, tls::Tls},
};
use crate::{
    access::caller,
    cli::{
        access::TlsArgs,
        metrics::{AgentMetricsArgs, AggregatorMetricsArgs, LabelsArg, OtlpArgs},
    },
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
    tls: &TlsArgs,
    retention: Duration,
    hub: &Arc<Hub>,
    servers: &mut JoinSet<Result<()>>,
) -> Result<()> {
    if args.metrics_max_series == 0 {
        return Err(usage("--metrics-max-series is 0, so no path would have series of its own"));
    }
    let tier = tier(args.metrics_labels, hub.read(|state| state.store().workloads.keep()))?;
    let source = Arc::new(Aggregator { hub: Arc::clone(hub), exports: Arc::default() });
    let exporter = exporter(&args.otlp, tls, &source)?;
    if args.scrape.metrics_listen.is_none() && exporter.is_none() {
        return Ok(());
    }
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

/// What exports, if anybody is to be told.
fn exporter(args: &OtlpArgs, tls: &TlsArgs, source: &Arc<Aggregator>) -> Result<Option<Exporter>> {
    let interval = args.otlp_interval;
    if !INTERVALS.contains(&interval) {
        return Err(usage(format!("--otlp-interval is {interval:?}, not from 1s to 1h")));
    }
    let Some(endpoint) = args.otlp_endpoint.clone() else { return Ok(None) };
    let headers = Headers::of(args.otlp_headers.as_ref(), args.otlp_headers_file.clone())?;
    let secure = is_secure(&endpoint)?;
    if !secure && (args.otlp_ca.is_some() || args.otlp_show_cert) {
        return Err(usage(format!(
            "--otlp-ca and --otlp-show-cert are for TLS, and --otlp-endpoint {endpoint} is without: say https://"
        )));
    }
    if !secure && !headers.is_empty() {
        tracing::warn!(
            "OTLP: headers go to {endpoint} unencrypted, for everybody on the way to read"
        );
    }
    let own = if args.otlp_show_cert { caller::paths(tls)? } else { None };
    if args.otlp_show_cert && own.as_ref().is_none_or(|own| own.own.is_none()) {
        return Err(usage("--otlp-show-cert is given without --tls-cert, --tls-key and --tls-ca"));
    }
    let tls = secure.then(|| Tls::new(args.otlp_ca.clone(), own)).transpose()?;
    let settings = Settings { endpoint, tls, headers, interval, instance: hostname() };
    Exporter::new(settings, Arc::clone(source)).map(Some)
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
