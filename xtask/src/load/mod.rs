//! Real kernel TCP traffic between pods. Started by the lab inside pod namespaces.

mod client;
mod message;
mod server;

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// Kinds of traffic.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LoadKind {
    /// Small requests and responses
    #[default]
    Rr,
    /// Streams that send as much as they can
    Bulk,
    /// HTTP/1.1 requests over kept connections
    Http,
}

/// Serves until it is ended.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArgs {
    /// What to serve
    #[arg(long, value_enum)]
    pub(crate) kind: LoadKind,
    /// Where to listen
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// Wait this long before each answer
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) delay: Duration,
}

/// Asks until the duration has passed, then prints what it saw as JSON.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientArgs {
    /// What to ask
    #[arg(long, value_enum)]
    pub(crate) kind: LoadKind,
    /// Whom to ask; connections are spread over them
    #[arg(long = "target", required = true)]
    pub(crate) targets: Vec<SocketAddr>,
    /// How many connections
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) connections: u16,
    /// Wait this long between an answer and the next request
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) think: Duration,
    /// Most bits per second of each stream (bulk)
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    /// How long
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
}

/// Runs a server.
pub(crate) fn serve(args: &ServerArgs) -> Result<()> {
    server::run(args)
}

/// Runs a client.
pub(crate) fn ask(args: &ClientArgs) -> Result<()> {
    client::run(args)
}

/// Sleeps exactly: the last part is polled, because a timer wakes up late.
fn wait(duration: Duration) {
    const POLLED: Duration = Duration::from_micros(80);
    let end = Instant::now() + duration;
    if duration > POLLED {
        thread::sleep(duration - POLLED);
    }
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Makes sleeps wake up as exactly as the kernel can.
fn sleep_exactly() {
    // Only makes timers coarser when refused.
    let _ = nix::sys::prctl::set_timerslack(1);
}
