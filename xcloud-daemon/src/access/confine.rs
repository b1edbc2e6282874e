//! Files out of reach: what this process can open at all, whoever it runs as, by Landlock where the kernel has it.

use std::{
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
pub use landlock::LandlockStatus;
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, RestrictionStatus, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, path_beneath_rules,
};

use crate::cli::{Address, AgentArgs, AggregatorArgs, access::TlsArgs, metrics::OtlpArgs};

/// What is asked for; older kernels give less of it.
pub const WANTED: ABI = ABI::V5;

/// What the C library reads to find a host by its name.
const TO_FIND_HOSTS: [&str; 9] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/ld.so.cache",
    "/lib",
    "/lib64",
    "/usr/lib",
];

/// Where systems keep the authorities that they trust, and what lies there links to.
const TRUSTED: [&str; 4] =
    ["/etc/ssl", "/etc/pki", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"];

/// Files and directories that stay within reach. Those that are not there are not missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// To read.
    pub read: Vec<PathBuf>,
    /// To read, make, write and remove.
    pub write: Vec<PathBuf>,
}

impl Reach {
    /// What an aggregator needs: certificates, the files it reads again when they change, results of load tests, its
    /// sockets, and what the system says of itself.
    #[must_use]
    pub fn of_aggregator(args: &AggregatorArgs, tls: &TlsArgs, config: Option<&Path>) -> Self {
        let mut reach = Self { read: certificates(tls), write: Vec::new() };
        let tables = args.names.sites.iter().chain(&args.names.ip_ranges);
        reach.read.extend(tables.map(PathBuf::as_path).chain(config).map(folder));
        reach.read.push("/proc/self".into());
        reach.read.push("/dev/urandom".into());
        if args.metrics.otlp.otlp_endpoint.is_some() {
            reach.read.extend(to_export(&args.metrics.otlp));
        }
        reach.write.extend(args.load_tests.load_results.clone());
        reach.write.extend(args.listen.iter().filter_map(|address| match address {
            Address::Unix(path) => Some(folder(path)),
            Address::Tcp(_) | Address::Host(_) => None,
        }));
        reach
    }

    /// What the thread of an agent needs that speaks with other machines: it and the parts it plays in load tests may read,
    /// as names of hosts, pods and clouds come from many files, and write next to nothing.
    #[must_use]
    pub fn of_agent(args: &AgentArgs) -> Self {
        let mut write = vec![std::env::temp_dir(), "/dev/null".into(), args.bpffs.clone()];
        write.extend(args.ready_file.as_deref().map(folder));
        Self { read: vec!["/".into()], write }
    }
}

/// What exports by OTLP take: a host found, its certificate judged, headers read.
fn to_export(args: &OtlpArgs) -> Vec<PathBuf> {
    let files = [&args.otlp_ca, &args.otlp_headers_file].into_iter().flatten();
    let mut read: Vec<_> = files.map(|file| folder(file)).collect();
    read.extend(TO_FIND_HOSTS.map(PathBuf::from));
    if args.otlp_ca.is_none() {
        read.extend(TRUSTED.map(PathBuf::from));
        read.extend(std::env::var_os("SSL_CERT_FILE").map(PathBuf::from));
    }
    read
}

/// Directories of certificates: a secret is replaced by another link in its directory.
fn certificates(tls: &TlsArgs) -> Vec<PathBuf> {
    let files = [&tls.tls_cert, &tls.tls_key, &tls.tls_ca];
    files.into_iter().flatten().map(|file| folder(file)).collect()
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.into(),
        _ => ".".into(),
    }
}

/// What Landlock this kernel has, by a thread that confines itself to everything there is, and ends.
///
/// # Errors
/// The kernel refuses to.
pub fn landlock() -> Result<LandlockStatus> {
    let trial = thread::spawn(|| restrict(&Reach { read: vec![], write: vec!["/".into()] }));
    let status = trial.join().map_err(|_| anyhow!("the thread that tries Landlock panicked"))??;
    Ok(status.landlock)
}

/// Puts all other files out of reach, of this thread and of all that it starts from now on; returns whether the kernel can.
///
/// # Errors
/// The kernel refuses to.
pub fn confine(reach: &Reach) -> Result<bool> {
    let status = restrict(reach)?;
    let done = match status.ruleset {
        RulesetStatus::FullyEnforced => "all other files are out of reach",
        RulesetStatus::PartiallyEnforced => {
            "all other files are out of reach, as far as this kernel can"
        }
        RulesetStatus::NotEnforced => {
            "this kernel has no Landlock, so files are not put out of reach"
        }
    };
    tracing::debug!("{done}: {reach:?}");
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn restrict(reach: &Reach) -> Result<RestrictionStatus> {
    let (read, all) = (AccessFs::from_read(WANTED), AccessFs::from_all(WANTED));
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(&reach.read, read)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(&reach.write, all)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .context("putting files out of reach (Landlock)")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_not_in_reach_cannot_be_opened() {
        let folder = tempfile::tempdir().expect("a directory");
        let [mine, results, others] =
            ["mine", "results", "others"].map(|name| folder.path().join(name));
        for path in [&mine, &results, &others] {
            fs::create_dir(path).expect("a directory");
            fs::write(path.join("file"), "text").expect("a file");
        }
        let reach =
            Reach { read: vec![mine.clone(), "/not/there".into()], write: vec![results.clone()] };
        let confined = thread::spawn(move || {
            if !confine(&reach).expect("it may") {
                return false;
            }
            assert!(fs::read(mine.join("file")).is_ok());
            assert!(fs::write(mine.join("file"), "other").is_err(), "it is only to be read");
            assert!(fs::write(results.join("new"), "text").is_ok());
            assert!(fs::rename(results.join("new"), results.join("file")).is_ok());
            assert!(fs::read(others.join("file")).is_err(), "it is out of reach");
            true
        });
        if !confined.join().expect("as said") {
            eprintln!("skipped: this kernel has no Landlock");
        }
        assert!(fs::read(folder.path().join("others/file")).is_ok(), "other threads are free");
    }
}
