//! What people type about metrics.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::address::socket_address;
use crate::metrics::otlp::headers::Written;

/// Where metrics can be scraped.
#[derive(Args, Clone, Debug, Default)]
pub struct ScrapeArgs {
    /// Serve Prometheus metrics by HTTP at this address, under /metrics [default: off]
    #[arg(long, env = "XCLOUD_METRICS_LISTEN", value_name = "IP:PORT", value_parser = socket_address)]
    pub metrics_listen: Option<SocketAddr>,
}

/// Metrics of the agent.
#[derive(Args, Clone, Debug, Default)]
pub struct AgentMetricsArgs {
    /// Where
    #[command(flatten)]
    pub scrape: ScrapeArgs,
    /// Have the kernel count runs and time of all its BPF programs while the agent runs, which costs each run some more
    #[arg(long, env = "XCLOUD_BPF_STATS")]
    pub bpf_stats: bool,
}

/// Metrics of the aggregator.
#[derive(Args, Clone, Debug)]
pub struct AggregatorMetricsArgs {
    /// Where
    #[command(flatten)]
    pub scrape: ScrapeArgs,
    /// What metrics tell apart on both sides of a path
    #[arg(long, env = "XCLOUD_METRICS_LABELS", value_enum, default_value = "node")]
    pub metrics_labels: LabelsArg,
    /// Most paths with series of their own, 250 classic ones each; further ones are summed under labels that say other
    #[arg(long, env = "XCLOUD_METRICS_MAX_SERIES", default_value_t = 2_000, value_name = "PATHS")]
    pub metrics_max_series: usize,
    /// Where they are pushed
    #[command(flatten)]
    pub otlp: OtlpArgs,
}

/// Where metrics are pushed.
#[derive(Args, Clone, Debug)]
pub struct OtlpArgs {
    /// Export metrics by OTLP over gRPC to this receiver, as http://HOST:PORT or, by TLS, https://HOST:PORT
    /// [default: off]
    #[arg(long, env = "XCLOUD_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// How often
    #[arg(
        long,
        env = "XCLOUD_OTLP_INTERVAL",
        default_value = "30s",
        value_parser = humantime::parse_duration
    )]
    pub otlp_interval: Duration,
    /// Certificates of the authorities that vouch for an https:// receiver, PEM; read again at each connection
    /// [default: the system's]
    #[arg(long, env = "XCLOUD_OTLP_CA", value_name = "FILE")]
    pub otlp_ca: Option<PathBuf>,
    /// Show an https:// receiver the certificate of --tls-cert
    #[arg(long, env = "XCLOUD_OTLP_SHOW_CERT")]
    pub otlp_show_cert: bool,
    /// Headers of each export, such as an API token, as NAME=VALUE,NAME=VALUE with %20 for a space; the environment
    /// variable hides them from who lists processes
    #[arg(
        long,
        env = "XCLOUD_OTLP_HEADERS",
        hide_env_values = true,
        value_name = "HEADERS",
        conflicts_with = "otlp_headers_file"
    )]
    pub otlp_headers: Option<Written>,
    /// File of such headers; read again at each export
    #[arg(long, env = "XCLOUD_OTLP_HEADERS_FILE", value_name = "FILE")]
    pub otlp_headers_file: Option<PathBuf>,
}

/// What metrics tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LabelsArg {
    /// Clouds
    Cloud,
    /// Regions of them
    Region,
    /// Zones of these
    Zone,
    /// Nodes
    Node,
    /// Workloads, whichever nodes of a cluster and region their pods are on; takes --names workload or pod
    Workload,
    /// Nodes and the workloads on them, and pods with --names pod; takes --names workload or pod
    Pair,
}
