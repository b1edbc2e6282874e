//! Traffic between the lab's pods: clients in the first cloud, servers in the others.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    Lab,
    args::LabArgs,
    plan::{Cloud, LOAD_PORT},
    process,
};
use crate::load::LoadKind;

/// Requests per second of all connections together, at most: enough for good statistics, easy on a laptop.
const MOST_REQUESTS: f64 = 500.0;

impl Lab {
    /// Starts a server in every pod of every cloud but the first.
    pub(super) fn start_servers(&mut self, args: &LabArgs) -> Result<()> {
        // In a lab that stays up without traffic of its own, the servers are there for curl.
        let idle = if self.keep { LoadKind::Http } else { LoadKind::Rr };
        let kind = args.load.unwrap_or(idle);
        for cloud in self.plan().clouds.clone().iter().skip(1) {
            for pod in &cloud.pods {
                let mut command = internal("load-server", kind)?;
                command.arg(format!("--listen=[::]:{LOAD_PORT}"));
                if let Some(delay) = cloud.injected.pod {
                    command.arg(format!("--delay={}", humantime::format_duration(delay)));
                }
                self.start(&format!("server-{}", pod.name), &pod.netns, command)?;
            }
        }
        Ok(())
    }

    /// Starts the clients; they end by themselves after `duration`.
    pub(super) fn start_clients(&mut self, args: &LabArgs, duration: Duration) -> Result<()> {
        let kind = args.load.unwrap_or_default();
        let clouds = self.plan().clouds.clone();
        let [first, others @ ..] = clouds.as_slice() else {
            return Ok(());
        };
        if others.is_empty() {
            return Ok(());
        }
        let streams = args.streams.unwrap_or(match kind {
            LoadKind::Bulk => 10,
            LoadKind::Rr | LoadKind::Http => 8,
        });
        let think = think(args, first, streams);
        for (index, pod) in first.pods.iter().enumerate() {
            let count = share(streams, index, first.pods.len())?;
            if count == 0 {
                continue;
            }
            let mut command = internal("load-client", kind)?;
            command.arg(format!("--connections={count}"));
            command.arg(format!("--duration={}", humantime::format_duration(duration)));
            command.arg(format!("--think={}", humantime::format_duration(think)));
            if let Some(rate) = args.stream_rate {
                command.arg(format!("--rate={rate}"));
            }
            for target in targets(others, args, index) {
                command.arg(format!("--target={target}"));
            }
            self.start(&format!("client-{}", pod.name), &pod.netns, command)?;
        }
        Ok(())
    }
}

fn internal(what: &str, kind: LoadKind) -> Result<Command> {
    let mut command = Command::new(process::ourselves()?);
    let kind = match kind {
        LoadKind::Rr => "rr",
        LoadKind::Bulk => "bulk",
        LoadKind::Http => "http",
    };
    command.args(["internal", what, "--kind", kind]);
    Ok(command)
}

/// All servers, each client beginning with another one.
fn targets(clouds: &[Cloud], args: &LabArgs, first: usize) -> Vec<SocketAddr> {
    let mut all: Vec<_> = clouds
        .iter()
        .flat_map(|cloud| &cloud.pods)
        .map(|pod| {
            let address =
                if args.service { pod.service(args.ipv6) } else { pod.address(args.ipv6) };
            SocketAddr::new(address, LOAD_PORT)
        })
        .collect();
    let middle = first % all.len().max(1);
    all.rotate_left(middle);
    all
}

/// The part of `total` that falls to number `index` of `parts`.
fn share(total: u16, index: usize, parts: usize) -> Result<u16> {
    let total = usize::from(total);
    let part = total / parts + usize::from(index < total % parts);
    u16::try_from(part).context("too many streams")
}

/// How long a client waits between an answer and the next request: what was injected into its pods, and on a short
/// WAN the time that keeps the requests at their rate. A fixed time and not a schedule, which would swallow the
/// injected one.
fn think(args: &LabArgs, client: &Cloud, streams: u16) -> Duration {
    let pace = Duration::from_secs_f64(f64::from(streams) / MOST_REQUESTS);
    pace.saturating_sub(args.wan_rtt) + client.injected.pod.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_shared_out() {
        let shares: Vec<_> = (0..2).map(|i| share(9, i, 2).unwrap()).collect();
        assert_eq!(shares, [5, 4]);
        assert_eq!(share(1, 1, 2).unwrap(), 0);
    }
}
