//! Who the agent is, and whether what it was told makes sense.

use std::{fs, io::Read as _, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use tracing::{info, warn};
use xcloud_proto::common::v1::Site;

use crate::{
    cli::{Address, AgentArgs},
    wire::outbox::MAX_BATCH,
};

/// Longest label of a site but for its node, in bytes.
pub const MAX_LABEL: usize = 63;
/// Longest name of a node, in bytes.
pub const MAX_NODE: usize = 253;
const MAX_RATE: u32 = 1_000_000;
const MAX_PPM: f64 = 100_000.0;
const FLUSH: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));

/// Checks the arguments and fills in the node's name.
///
/// # Errors
/// Names the first argument that makes no sense.
pub fn site(args: &AgentArgs) -> Result<Site> {
    ensure!(
        (1..=MAX_RATE).contains(&args.rate),
        "--rate {}: must be from 1 to {MAX_RATE} observations per second",
        args.rate
    );
    ensure!(
        args.queue >= MAX_BATCH,
        "--queue {}: must be at least {MAX_BATCH}, the size of one batch",
        args.queue
    );
    ensure!(
        (FLUSH.0..=FLUSH.1).contains(&args.flush),
        "--flush {:?}: must be from {:?} to {:?}",
        args.flush,
        FLUSH.0,
        FLUSH.1
    );
    ensure!(
        args.pretend_clock_ppm.abs() <= MAX_PPM,
        "--pretend-clock-ppm {}: must be a number from -{MAX_PPM} to {MAX_PPM}",
        args.pretend_clock_ppm
    );
    let node = match &args.node {
        Some(node) => node.clone(),
        None => host_name()?,
    };
    ensure!(!args.cloud.is_empty() && !node.is_empty(), "--cloud and --node: must not be empty");
    for (flag, label, longest) in [
        ("--cloud", &args.cloud, MAX_LABEL),
        ("--region", &args.region, MAX_LABEL),
        ("--zone", &args.zone, MAX_LABEL),
        ("--node", &node, MAX_NODE),
        ("--cluster", &args.names.cluster, MAX_LABEL),
    ] {
        label_fits(flag, label, longest)?;
    }
    Ok(Site {
        cloud: args.cloud.clone(),
        region: args.region.clone(),
        zone: args.zone.clone(),
        node,
        cluster: args.names.cluster.clone(),
    })
}

/// The stable name of the agent of a site: node names are unique only within a region, or a cluster of it.
///
/// # Errors
/// The labels are too long together.
pub fn agent_id(site: &Site) -> Result<String> {
    let Site { cloud, region, cluster, node, .. } = site;
    let id = if cluster.is_empty() {
        format!("{cloud}:{region}:{node}")
    } else {
        format!("{cloud}:{region}:{cluster}:{node}")
    };
    ensure!(
        id.len() <= MAX_NODE,
        "--cloud, --region, --cluster and --node: {} bytes together, but an agent's name has at most {MAX_NODE}",
        id.len()
    );
    Ok(id)
}

/// Labels are typed in filters as `cloud=aws,node=a`, so they hold none of `=`, `,` and spaces.
///
/// # Errors
/// Names what is wrong with it.
pub(crate) fn label_fits(flag: &str, label: &str, longest: usize) -> Result<()> {
    if label.len() > longest {
        bail!("{flag}: {} bytes long, but a label has at most {longest}", label.len());
    }
    let odd = label.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.:/".contains(*c));
    match odd {
        Some(odd) => bail!(
            "{flag} {label:?}: {odd:?} is not allowed; use ASCII letters, digits and - _ . : /"
        ),
        None => Ok(()),
    }
}

/// The host's name.
///
/// # Errors
/// It cannot be read.
pub(crate) fn host_name() -> Result<String> {
    const PATH: &str = "/proc/sys/kernel/hostname";
    let name = fs::read_to_string(PATH)
        .with_context(|| format!("reading {PATH} for the node's name; give it with --node"))?;
    Ok(name.trim().to_owned())
}

/// The kernel's release, as `uname -r` prints it.
#[must_use]
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |release| release.trim().to_owned())
}

/// A random name for this life of the agent.
pub fn boot_id() -> Result<[u8; 16]> {
    let mut id = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut id))
        .context("reading 16 bytes of /dev/urandom")?;
    Ok(id)
}

/// The aggregator's port, whose traffic is left out of the measurement; 0 for a Unix socket.
#[must_use]
pub fn own_port(aggregator: &Address) -> u32 {
    aggregator.port().into()
}

/// Ports below this are those of well-known services, which pods use for other things as well.
const WELL_KNOWN: u32 = 1024;

/// Says that the aggregator's port is left out: of every pod and at every address, as the kernel programs know no other
/// mark of the agent's own traffic.
pub fn tell_own_port(port: u32) {
    let what = format!(
        "TCP traffic from or to port {port}, the aggregator's, is not measured, of any pod and at any address"
    );
    match port {
        0 => {}
        1..WELL_KNOWN => {
            warn!("{what}: let the aggregator listen on a port that no pod uses, e.g. 7171")
        }
        _ => info!("{what}"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parsed(arguments: &[&str]) -> Result<Site> {
        let line = ["xcloud", "agent", "--node", "n1"].iter().chain(arguments);
        let Command::Agent(args) = Cli::try_parse_from(line)?.command else {
            bail!("not the agent");
        };
        site(&args)
    }

    #[test]
    fn sensible_arguments_pass() {
        let site = parsed(&["--cloud", "aws", "--region", "us-east-1"]).expect("passes");
        assert_eq!(agent_id(&site).expect("fits"), "aws:us-east-1:n1");
        let site = parsed(&["--cloud", "aws", "--cluster", "shop"]).expect("passes");
        assert_eq!(agent_id(&site).expect("fits"), "aws::shop:n1");
    }

    #[test]
    fn each_bad_argument_is_named() {
        for bad in [
            ["--rate", "0"],
            ["--rate", "1000001"],
            ["--queue", "10"],
            ["--flush", "1us"],
            ["--pretend-clock-ppm", "NaN"],
            ["--pretend-clock-ppm", "inf"],
            ["--cloud", "a,b"],
            ["--cloud", ""],
            ["--zone", "a b"],
            ["--cluster", "a=b"],
            ["--region", &"x".repeat(64)],
        ] {
            let error = parsed(&bad).expect_err(bad[1]).to_string();
            assert!(error.contains(bad[0]), "{bad:?}: {error}");
        }
    }

    #[test]
    fn own_traffic_is_known_by_its_port() {
        let tcp: Address = "127.0.0.1:7171".parse().expect("an address");
        let unix: Address = "unix:/a".parse().expect("an address");
        assert_eq!((own_port(&tcp), own_port(&unix)), (7171, 0));
    }
}
