//! Flags of `kubectl xcloud`. They come before the command, whose own flags may have the same names.

use std::path::PathBuf;

use clap::Parser;

/// Asks the aggregator in a Kubernetes cluster, through the API server.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "kubectl-xcloud",
    bin_name = "kubectl xcloud",
    version,
    after_help = "Commands: split, observe, top, nodes, cost, load run|endpoints|tests|cancel|export, each with the flags \
                  that `xcloud COMMAND --help` shows."
)]
pub struct KubectlArgs {
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, env = "XCLOUD_KUBE_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
    /// Kubeconfig file [default: KUBECONFIG, then ~/.kube/config]
    #[arg(long, env = "XCLOUD_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace that the aggregator runs in
    #[arg(short, long, env = "XCLOUD_NAMESPACE", default_value = "xcloud", value_name = "NAME")]
    pub namespace: String,
    /// A command of xcloud that asks an aggregator, and its flags
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub command: Vec<String>,
}
