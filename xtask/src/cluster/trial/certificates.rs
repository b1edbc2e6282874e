//! The way to an aggregator that wants certificates, for people.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::{RELEASE, Trial, manifests, shop};
use crate::{cluster::plan::state, command};

/// What the aggregator's certificate names.
const NAME: &str = "--tls-server-name=xcloud-aggregator.xcloud.svc";
const FILES: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];

/// Has Helm make certificates; asks with good and bad ones; upgrades once more, and asks with the old one.
pub(super) fn are_wanted(trial: &mut Trial) -> Result<Vec<String>> {
    manifests::put(trial, &["tls.method=helm"])?;
    let operator = fetch(trial, "operator")?;
    trial.caller = flags(&operator);
    shop::joined(trial).context("asking with the operator's certificate")?;
    let collector = flags(&fetch(trial, "collector")?);
    let words = ["split", "--group-by", "workload", "--near", "cloud=aws"];
    println!("{}", command::output(&mut trial.plugin_as(&words, &collector)?)?);
    let mut wrong = refused(trial, &operator)?;
    manifests::put(trial, &["agent.config.rate=4000"])?;
    let (before, after) = (fs::read(operator.join("tls.crt"))?, fetch(trial, "operator")?);
    if fs::read(after.join("tls.crt"))? != before {
        wrong.push("an upgrade replaced the certificates".into());
    }
    shop::joined(trial).context("asking after an upgrade")?;
    Ok(wrong)
}

/// Asks as nobody, as an agent, as a stranger, and for somebody else: each time the reason is told.
fn refused(trial: &Trial, operator: &Path) -> Result<Vec<String>> {
    let agent = flags(&fetch(trial, "agent")?);
    let stranger = flags(&stranger(operator)?);
    let elsewhere: Vec<_> = flags(operator).into_iter().filter(|flag| flag != NAME).collect();
    let cases: [(&str, &[String], &str); 4] = [
        ("without a certificate", &[], "name yours with --tls-ca"),
        ("with an agent's certificate", &agent, "takes the role collector"),
        ("with a certificate of another authority", &stranger, "refuses this certificate"),
        ("without the aggregator's name", &elsewhere, "--tls-server-name says"),
    ];
    let mut wrong = Vec::new();
    for (how, caller, reason) in cases {
        let asked = trial.plugin_as(&["split"], caller)?.output()?;
        let said = String::from_utf8_lossy(&asked.stderr);
        println!("{how}: {}", said.trim());
        if asked.status.code() != Some(1) || !said.contains(reason) {
            wrong.push(format!("{how}, kubectl xcloud split ends with {}: {said}", asked.status));
        }
    }
    Ok(wrong)
}

/// Gets a certificate as people would; returns the directory of its files.
fn fetch(trial: &Trial, part: &str) -> Result<PathBuf> {
    let directory = state().join("certificates").join(part);
    fs::create_dir_all(&directory)?;
    let secret = format!("{RELEASE}-{part}-tls");
    for file in FILES {
        let template = format!("go-template={{{{index .data {file:?} | base64decode}}}}");
        let words = ["-n", RELEASE, "get", "secret", &secret, "-o", &template];
        fs::write(directory.join(file), trial.cluster.ask(&words)?)?;
    }
    Ok(directory)
}

/// Makes a certificate that names an operator and vouches for itself.
fn stranger(operator: &Path) -> Result<PathBuf> {
    let directory = state().join("certificates/stranger");
    fs::create_dir_all(&directory)?;
    let mut openssl = Command::new("openssl");
    openssl.current_dir(&directory).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    openssl.args(["-days", "1", "-subj", "/CN=stranger"]);
    openssl.args(["-addext", "subjectAltName=DNS:operator.xcloud.internal"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    command::output(openssl.args(["-keyout", "tls.key", "-out", "tls.crt"]))?;
    // It trusts itself beside the aggregator, so that only the aggregator can refuse it.
    let both = [operator.join("ca.crt"), directory.join("tls.crt")].map(fs::read_to_string);
    let both = both.into_iter().collect::<std::io::Result<String>>()?;
    ensure!(both.contains("BEGIN CERTIFICATE"), "openssl wrote no certificate");
    fs::write(directory.join("ca.crt"), both)?;
    Ok(directory)
}

fn flags(directory: &Path) -> Vec<String> {
    let named = [("ca", "ca.crt"), ("cert", "tls.crt"), ("key", "tls.key")];
    let flag =
        |(flag, file): (&str, &str)| format!("--tls-{flag}={}", directory.join(file).display());
    named.map(flag).into_iter().chain([NAME.to_owned()]).collect()
}
