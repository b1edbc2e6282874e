//! What people type. Definitions only; meaning is given where each command runs.

pub mod access;
pub mod address;
pub mod compare;
pub mod config;
pub mod ends;
pub mod fact;
pub mod grpc;
pub mod kubectl;
pub mod load;
pub mod loadtest;
pub mod log;
pub mod matrix;
pub mod metrics;
pub mod names;
pub mod nodes;
pub mod rate;
pub mod stamp;
pub mod suite;
pub mod throughput;
pub mod top;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub mod cost;
pub mod report;

pub use address::Address;

use crate::kernel::probe::{DepartureHook, Finding, Plan, TcHook};

/// Says where the p99 of traffic between clouds goes: source CNI, uplink queue, WAN, far CNI, far pod.
#[derive(Debug, Parser)]
#[command(name = "xcloud", version, propagate_version = true)]
pub struct Cli {
    /// This process's own log.
    #[command(flatten)]
    pub log: log::LogArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Who this process is
    #[command(flatten)]
    pub tls: access::TlsArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure on this node and stream observations to the aggregator
    Agent(AgentArgs),
    /// Join what agents send and answer queries
    Aggregator(AggregatorArgs),
    /// Show where the time went
    Split(SplitArgs),
    /// Follow joined exchanges as they happen
    Observe(ObserveArgs),
    /// Watch paths live: the slowest first, where their time goes, what is in them
    Top(top::TopArgs),
    /// List the agents, what they see and what they lost
    Nodes(nodes::NodesArgs),
    /// Say what this kernel and this node allow, and what would attach where
    Check(CheckArgs),
    /// Put load on a path and say what it bore
    #[command(subcommand)]
    Load(load::LoadCommand),
    /// Say what bytes between clouds cost
    Cost(Box<cost::CostArgs>),
    /// Show what a load test found, or two side by side
    Report(report::ReportArgs),
    /// Say what may be said about one run beside another
    Compare(compare::CompareArgs),
    /// About the configuration file of agent and aggregator
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For programs, with stable names
    Json,
    /// For spreadsheets
    Csv,
}

/// `xcloud agent`.
#[derive(Args, Clone, Debug)]
pub struct AgentArgs {
    /// The configuration file
    #[command(flatten)]
    pub config: config::ConfigArgs,
    /// Aggregator to send to; TCP traffic from or to this port is not measured, of any pod and at any address
    #[arg(
        long,
        env = "XCLOUD_AGGREGATOR",
        default_value = "127.0.0.1:7171",
        value_name = "ADDRESS"
    )]
    pub aggregator: Address,
    /// Cloud provider this node runs in, e.g. aws [default: found out, see --metadata]
    #[arg(long, env = "XCLOUD_CLOUD", default_value = "unknown", hide_default_value = true)]
    pub cloud: String,
    /// Region of the cloud [default: found out]
    #[arg(long, env = "XCLOUD_REGION", default_value = "", hide_default_value = true)]
    pub region: String,
    /// Availability zone [default: found out]
    #[arg(long, env = "XCLOUD_ZONE", default_value = "", hide_default_value = true)]
    pub zone: String,
    /// Name of this node [default: the host name]
    #[arg(long, env = "XCLOUD_NODE")]
    pub node: Option<String>,
    /// Names of the place and of the pods
    #[command(flatten)]
    pub names: names::NamesArgs,
    /// Which interfaces to watch
    #[command(flatten)]
    pub interfaces: InterfaceArgs,
    /// Most observations this node sends per second; the sampling share adapts to it
    #[arg(long, env = "XCLOUD_RATE", default_value_t = 10_000, value_name = "PER_SECOND")]
    pub rate: u32,
    /// Observations kept while no aggregator answers; older ones are dropped and counted
    #[arg(long, default_value_t = 500_000, value_name = "OBSERVATIONS")]
    pub queue: usize,
    /// How often a batch is sent
    #[arg(long, default_value = "200ms", value_parser = humantime::parse_duration)]
    pub flush: Duration,
    /// Write this file once all hooks are on
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// BPF file system where counters are kept across a kill of the agent
    #[arg(long, env = "XCLOUD_BPFFS", default_value = "/sys/fs/bpf", value_name = "PATH")]
    pub bpffs: PathBuf,
    /// While this file exists, all hooks are off
    #[arg(
        long,
        env = "XCLOUD_KILL_SWITCH",
        default_value = "/run/xcloud/off",
        value_name = "PATH"
    )]
    pub kill_switch: PathBuf,
    /// Also tell what the CNI's time is made of, by kprobes on the network stack: routing, netfilter, encapsulation,
    /// encryption; every packet on the node then costs some more
    #[arg(long, env = "XCLOUD_STAGES")]
    pub stages: bool,
    /// Also keep account of the bytes and packets that leave by the uplinks, by sender and destination, for `xcloud cost
    /// --aggregator`; every departing packet then costs some more
    #[arg(long, env = "XCLOUD_ACCOUNT")]
    pub account: bool,
    /// Part in load tests
    #[command(flatten)]
    pub load_tests: loadtest::AgentLoadArgs,
    /// Where it says whether it is well
    #[command(flatten)]
    pub health: access::HealthArgs,
    /// Metrics
    #[command(flatten)]
    pub metrics: metrics::AgentMetricsArgs,
    /// See departures from uplinks this way, whatever else the kernel could do
    #[arg(long, hide = true, env = "XCLOUD_UPLINK_OUT", value_name = "HOOK")]
    pub uplink_out: Option<DepartureHook>,
    /// Pretend the monotonic clock is this far ahead, to prove that no synchronisation is needed
    #[arg(long, hide = true, default_value = "0s", value_parser = humantime::parse_duration)]
    pub pretend_clock_offset: Duration,
    /// Pretend the monotonic clock runs this many parts per million fast
    #[arg(long, hide = true, default_value_t = 0.0, allow_negative_numbers = true)]
    pub pretend_clock_ppm: f64,
}

/// Which interfaces are watched; by default the agent finds them.
#[derive(Args, Clone, Debug, Default)]
pub struct InterfaceArgs {
    /// Uplink to other nodes, exact name; may be repeated [default: found by routes]
    #[arg(long = "uplink", value_name = "INTERFACE")]
    pub uplinks: Vec<String>,
    /// Pod interface on the node, exact name or prefix with a trailing *; may be repeated [default: found by kind]
    #[arg(long = "pod-interface", value_name = "INTERFACE")]
    pub pods: Vec<String>,
    /// Also time the uplink queue, by one more hook before it
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub queue_hook: bool,
    /// Enter the network namespace of a pod whose packets go past its interface on the node, and hook it there
    #[arg(
        long,
        env = "XCLOUD_POD_NAMESPACES",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub pod_namespaces: bool,
    /// Where that cannot be, see what such pods' TCP sockets are given, by a tracepoint that costs every connection on the node
    #[arg(
        long,
        env = "XCLOUD_POD_SOCKETS",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub pod_sockets: bool,
    /// Attach classifiers this way and no other
    #[arg(long, hide = true, value_enum)]
    pub tc_backend: Option<TcBackend>,
}

impl InterfaceArgs {
    /// The hooks to use on a kernel that can do what was found.
    #[must_use]
    pub fn plan(&self, findings: &[Finding]) -> Plan {
        let plan = Plan::new(findings, self.queue_hook);
        match self.tc_backend {
            Some(TcBackend::Tcx) => plan.with_classifiers(TcHook::Tcx),
            Some(TcBackend::Clsact) => plan.with_classifiers(TcHook::Clsact),
            None => plan,
        }
    }
}

/// How classifiers can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TcBackend {
    /// TCX
    Tcx,
    /// The clsact qdisc
    Clsact,
}

/// `xcloud aggregator`.
#[derive(Args, Clone, Debug)]
pub struct AggregatorArgs {
    /// The configuration file
    #[command(flatten)]
    pub config: config::ConfigArgs,
    /// Where to listen; may be repeated
    #[arg(long, env = "XCLOUD_LISTEN", default_value = "127.0.0.1:7171", value_name = "ADDRESS")]
    pub listen: Vec<Address>,
    /// How long one end of an exchange waits for the other
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub join_window: Duration,
    /// Most observations waiting at once
    #[arg(long, default_value_t = 1_000_000, value_name = "OBSERVATIONS")]
    pub join_capacity: usize,
    /// Width of a storage interval
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub interval: Duration,
    /// How long data is kept
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    pub retention: Duration,
    /// Most paths kept apart; exchanges on further paths are counted as lost
    #[arg(long, default_value_t = 100_000)]
    pub max_paths: usize,
    /// Most memory for what was measured, as 1GiB; the oldest data goes first, and what still finds no room is counted as
    /// lost [default: a third of what the machine has or its control group allows]
    #[arg(long, env = "XCLOUD_MAX_MEMORY", value_name = "VOLUME")]
    pub max_memory: Option<crate::cost::volume::Volume>,
    /// Names of paths
    #[command(flatten)]
    pub names: names::PathNamesArgs,
    /// Load tests
    #[command(flatten)]
    pub load_tests: loadtest::LeaveArgs,
    /// Access
    #[command(flatten)]
    pub access: access::AccessArgs,
    /// Metrics
    #[command(flatten)]
    pub metrics: metrics::AggregatorMetricsArgs,
}

/// Which aggregator to ask.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Aggregator to ask
    #[arg(
        long,
        env = "XCLOUD_AGGREGATOR",
        default_value = "127.0.0.1:7171",
        value_name = "ADDRESS"
    )]
    pub aggregator: Address,
}

/// Which exchanges are wanted.
#[derive(Args, Clone, Debug, Default)]
pub struct FilterArgs {
    /// Sending side, as cloud=aws,region=us-east-1,zone=..,node=..,cluster=..,namespace=..,workload=..,kind=..,pod=..
    #[arg(long, value_name = "LABELS")]
    pub near: Option<String>,
    /// Answering side, likewise
    #[arg(long, value_name = "LABELS")]
    pub far: Option<String>,
    /// Kind of exchange; may be repeated [default: all]
    #[arg(long = "kind", value_enum)]
    pub kinds: Vec<KindArg>,
}

/// Kinds of exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// SYN to SYN-ACK
    Handshake,
    /// Data to its first exact acknowledgement
    Ack,
    /// Data to the first answer with payload
    Response,
}

/// How paths are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GroupArg {
    /// Pairs of nodes
    Node,
    /// Pairs of zones
    Zone,
    /// Pairs of regions
    Region,
    /// Pairs of clouds
    Cloud,
    /// Pairs of namespaces, each in its region and cluster
    Namespace,
    /// Pairs of workloads, likewise
    Workload,
    /// Pairs of pods; the aggregator must run with --names pod
    Pod,
}

/// `xcloud split`.
#[derive(Args, Clone, Debug)]
pub struct SplitArgs {
    /// Whom to ask
    #[command(flatten)]
    pub server: ServerArgs,
    /// Which exchanges
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Start of the range, as an RFC 3339 time or an age such as 15m [default: all that is kept]
    #[arg(long)]
    pub since: Option<String>,
    /// End of the range, likewise [default: now]
    #[arg(long)]
    pub until: Option<String>,
    /// How to merge paths
    #[arg(long, value_enum, default_value = "node")]
    pub group_by: GroupArg,
    /// Also show what CNI segments are made of, pod by pod, at nodes whose agents run with --stages
    #[arg(long)]
    pub stages: bool,
    /// Quantile of the total whose make-up is shown, from 0.5 to below 1
    #[arg(long, default_value_t = 0.99)]
    pub quantile: f64,
    /// Format
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// `xcloud observe`.
#[derive(Args, Clone, Debug)]
pub struct ObserveArgs {
    /// Whom to ask
    #[command(flatten)]
    pub server: ServerArgs,
    /// Which exchanges
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Stop after this many
    #[arg(short = 'n', long)]
    pub number: Option<u64>,
    /// Only exchanges that took at least this long
    #[arg(long, value_parser = humantime::parse_duration)]
    pub min_total: Option<Duration>,
    /// Format; json is one object a line
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// `xcloud check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Which interfaces
    #[command(flatten)]
    pub interfaces: InterfaceArgs,
    /// Format
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// Look for a CNI's files below this directory
    #[arg(long, hide = true, default_value = "/", value_name = "PATH")]
    pub root: PathBuf,
}
