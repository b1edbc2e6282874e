//! Flags that say who this process is and whom it lets in.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::address::socket_address;
use crate::access::grant::Grant;

/// Certificates of this process, for every gRPC connection by TCP that it takes or makes.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// Certificate chain of this process, PEM; read again whenever it changes
    #[arg(long, global = true, env = "XCLOUD_TLS_CERT", value_name = "FILE", help_heading = "TLS")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, global = true, env = "XCLOUD_TLS_KEY", value_name = "FILE", help_heading = "TLS")]
    pub tls_key: Option<PathBuf>,
    /// Certificates of the authorities that vouch for the other side, PEM
    #[arg(long, global = true, env = "XCLOUD_TLS_CA", value_name = "FILE", help_heading = "TLS")]
    pub tls_ca: Option<PathBuf>,
    /// What the aggregator's certificate must name: a DNS name, an IP address or a URI such as
    /// spiffe://example.org/ns/xcloud/sa/aggregator [default: the host that is connected to]
    #[arg(
        long,
        global = true,
        env = "XCLOUD_TLS_SERVER_NAME",
        value_name = "NAME",
        help_heading = "TLS"
    )]
    pub tls_server_name: Option<String>,
    /// How often the files are looked at
    #[arg(
        long,
        global = true,
        hide = true,
        env = "XCLOUD_TLS_POLL",
        default_value = "1s",
        value_parser = humantime::parse_duration,
        help_heading = "TLS"
    )]
    pub tls_poll: Duration,
}

/// Whom the aggregator lets in, and how much of them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Access")]
pub struct AccessArgs {
    /// Who may do what, as ROLE=NAME: ROLE is agent, endpoint, collector or operator, NAME a URI or dns:NAME of the
    /// certificate, with * at its end for any ending, or with {node} where the name of the one node stands that an agent
    /// or endpoint may speak for; may be repeated
    #[arg(long = "role", env = "XCLOUD_ROLES", value_name = "ROLE=NAME", value_delimiter = ',')]
    pub roles: Vec<Grant>,
    /// Listen without TLS beyond this machine: whoever reaches the port may do everything
    #[arg(long, env = "XCLOUD_INSECURE")]
    pub insecure: bool,
    /// Most connections at once
    #[arg(long, env = "XCLOUD_MAX_CONNECTIONS", default_value_t = 12_000, value_name = "COUNT")]
    pub max_connections: usize,
    /// Most of them from one address (IPv6: one /64)
    #[arg(
        long,
        env = "XCLOUD_MAX_CONNECTIONS_PER_PEER",
        default_value_t = 4_000,
        value_name = "COUNT"
    )]
    pub max_connections_per_peer: usize,
    /// Most calls a second that one connection may start
    #[arg(long, env = "XCLOUD_MAX_CALL_RATE", default_value_t = 200, value_name = "PER_SECOND")]
    pub max_call_rate: u32,
    /// Where this process says whether it is well
    #[command(flatten)]
    pub health: HealthArgs,
}

/// Where a process says whether it is well.
#[derive(Args, Clone, Debug, Default)]
pub struct HealthArgs {
    /// Answer grpc.health.v1 in plaintext at this address, and nothing else there: `liveness` and `readiness`
    #[arg(long, env = "XCLOUD_HEALTH_LISTEN", value_name = "IP:PORT", value_parser = socket_address, help_heading = "Access")]
    pub health_listen: Option<std::net::SocketAddr>,
}
