//! Where an agent learns names from: of its pods, and of the place it runs in.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Whether something is used where it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Auto {
    /// Where it is there
    Auto,
    /// Never
    Off,
}

/// Which names of workloads an aggregator keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeepArg {
    /// None
    Off,
    /// Namespaces
    Namespace,
    /// Namespaces and workloads
    Workload,
    /// Namespaces, workloads and pods
    Pod,
}

/// Names of both ends of paths, at the aggregator.
#[derive(Args, Clone, Debug)]
pub struct PathNamesArgs {
    /// Names that tell paths apart; each pair of names on each pair of nodes counts in --max-paths
    #[arg(long, env = "XCLOUD_NAMES", value_enum, default_value = "workload")]
    pub names: KeepArg,
    /// Where addresses are that no agent sees: CSV with cidr, site and, if wanted, name; read again when it changes
    #[arg(long, env = "XCLOUD_SITES", value_name = "PATH")]
    pub sites: Option<PathBuf>,
    /// A provider's published address ranges: AWS' ip-ranges.json, GCP's cloud.json, Azure's service tags; may be
    /// repeated, and is read again when it changes
    #[arg(long, env = "XCLOUD_IP_RANGES", value_name = "PATH", value_delimiter = ',')]
    pub ip_ranges: Vec<PathBuf>,
}

/// Where names come from.
#[derive(Args, Clone, Debug)]
pub struct NamesArgs {
    /// Name of the Kubernetes cluster this node is in
    #[arg(long, env = "XCLOUD_CLUSTER", default_value = "", hide_default_value = true)]
    pub cluster: String,
    /// Ask Kubernetes' API for the pods of this node and its labels: in a pod by its service account, elsewhere by
    /// --kubeconfig
    #[arg(long, env = "XCLOUD_KUBERNETES", value_enum, default_value = "auto")]
    pub kubernetes: Auto,
    /// Reach Kubernetes' API as this file says, by its current context
    #[arg(long, env = "XCLOUD_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// Where the container runtime listens, which is asked for the pods where Kubernetes' API is not; `off` asks none
    /// [default: where containerd and CRI-O do]
    #[arg(long, env = "XCLOUD_CRI_SOCKET", value_name = "PATH")]
    pub cri_socket: Option<PathBuf>,
    /// Ask the metadata services of AWS, GCP and Azure for the cloud, region and zone that neither flags nor the node's
    /// labels say
    #[arg(long, env = "XCLOUD_METADATA", value_enum, default_value = "auto")]
    pub metadata: Auto,
    /// Where these services are
    #[arg(
        long,
        hide = true,
        env = "XCLOUD_METADATA_ADDRESS",
        default_value = "169.254.169.254:80",
        value_name = "IP:PORT"
    )]
    pub metadata_address: std::net::SocketAddr,
    /// Where the firmware tells whose machine this is
    #[arg(long, hide = true, default_value = "/sys/class/dmi/id", value_name = "PATH")]
    pub dmi: PathBuf,
}
