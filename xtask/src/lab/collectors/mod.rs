//! Others' programs read what xcloud offers: the distribution's Prometheus and promtool, an OTLP receiver on the official
//! definitions, and a collector that knows nothing but where the aggregator listens. One lab serves them all.

mod dashboards;
mod judge;
mod prometheus;

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use serde_json::Value;

use self::prometheus::{PORT, Prometheus};
use super::{
    Lab,
    args::LabArgs,
    plan::{AGGREGATOR, METRICS_PORT, OTLP},
    process,
    run::pause,
};
use crate::{bpf, command, netns, progress::Progress, setup, signals, test::Flags};

/// How long the last export and scrape may take to come: some intervals of the lab's.
const ARRIVE: Duration = Duration::from_secs(20);

/// A lab with traffic and with all who read its metrics; returns what is wrong.
pub(crate) fn check(xcloud: &Path) -> Result<Vec<String>> {
    signals::stop_flag()?;
    let python = setup::collectors()?;
    prometheus::check_rules()?;
    let args = args(xcloud)?;
    let progress = Progress::new();
    progress.say("bringing the clouds up");
    let mut lab = Lab::up(&args, xcloud.to_owned(), false)?;
    let result = lab.read_by_others(&args, &python, &progress);
    if result.is_err() && !signals::stopped() {
        eprintln!("{}", lab.logs());
    }
    progress.done();
    result
}

/// The far pods take 20 ms, so that a quantile's error shows; the WAN 20 ms.
fn args(xcloud: &Path) -> Result<LabArgs> {
    let flags = ["lab", "--name=collect", "--duration=8s", "--wan-rtt=20ms", "--metrics"];
    let more = ["--wan-jitter=2ms", "--inject=gcp:pod=5ms"];
    let flags = Flags::try_parse_from(flags.into_iter().chain(more)).context("the lab's flags")?;
    Ok(LabArgs { xcloud: Some(xcloud.to_owned()), ..flags.lab })
}

impl Lab {
    fn read_by_others(
        &mut self,
        args: &LabArgs,
        python: &Path,
        progress: &Progress,
    ) -> Result<Vec<String>> {
        let received = self.path("received.json");
        self.start_receiver(python, &received)?;
        self.start_prometheus()?;
        self.load(args, progress)?;
        progress.say("waiting for the last export");
        let split = self.split_json()?;
        let told = SystemTime::now();
        let export = wait_for_export(&received, &split)?;
        let prometheus = Prometheus { netns: self.plan().mgmt.clone() };
        prometheus.wait_for_scrape(told, ARRIVE)?;
        let mut wrong = judge::export(&export, &split);
        wrong.extend(judge::scraped(&prometheus, &split)?);
        wrong.extend(judge::reflected(&self.reflected(python)?, &split));
        wrong.extend(dashboards::check(&prometheus)?);
        wrong.extend(self.linted()?);
        Ok(wrong)
    }

    fn start_receiver(&mut self, python: &Path, received: &Path) -> Result<()> {
        let mut command = Command::new(python);
        command.arg(script("receiver.py")).arg(OTLP.to_string()).arg(received);
        let (mgmt, log) = (self.plan().mgmt.clone(), self.log("receiver"));
        let child = self.start("receiver", &mgmt, command)?;
        let listens = || netns::within(&mgmt, || Ok(std::net::TcpStream::connect(OTLP)?)).is_ok();
        process::wait_ready("receiver", child, &log, listens)
    }

    fn start_prometheus(&mut self) -> Result<()> {
        let config = self.path("prometheus.yaml");
        fs::write(&config, prometheus::config(self.plan()))
            .with_context(|| format!("writing {}", config.display()))?;
        let data = self.path("prometheus");
        // What an earlier lab scraped is of no interest.
        let _ = fs::remove_dir_all(&data);
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{PORT}"))
            .arg("--enable-feature=native-histograms");
        let (mgmt, log) = (self.plan().mgmt.clone(), self.log("prometheus"));
        let child = self.start("prometheus", &mgmt, command)?;
        let prometheus = Prometheus { netns: mgmt };
        process::wait_ready("prometheus", child, &log, || prometheus.query("up").is_ok())
    }

    /// What a collector finds out by reflection alone.
    fn reflected(&self, python: &Path) -> Result<Value> {
        let mut command = Command::new(python);
        command.arg(script("reflect.py")).arg(AGGREGATOR.to_string());
        netns::enter(&mut command, &self.plan().mgmt)?;
        serde_json::from_str(&command::output(&mut command)?).context("understanding reflect.py")
    }

    /// What promtool says of both endpoints' text.
    fn linted(&self) -> Result<Vec<String>> {
        let plan = self.plan();
        let agents = plan.clouds.iter().map(|cloud| cloud.mgmt_ipv4().to_string());
        let hosts = agents.chain([AGGREGATOR.ip().to_string()]);
        let mut wrong = Vec::new();
        for host in hosts {
            let url = format!("http://{host}:{METRICS_PORT}/metrics");
            let mut curl = Command::new("curl");
            netns::enter(curl.args(["-sSf", &url]), &plan.mgmt)?;
            let text = command::output(&mut curl)?;
            if let Err(error) =
                command::feed(Command::new("promtool").args(["check", "metrics"]), &text)
            {
                wrong.push(format!("promtool check metrics of {url}: {error:#}"));
            }
        }
        Ok(wrong)
    }
}

/// The receiver's latest, once it counts as many exchanges as the split.
fn wait_for_export(received: &Path, split: &Value) -> Result<Value> {
    let deadline = Instant::now() + ARRIVE;
    loop {
        let text = fs::read(received).unwrap_or_default();
        let export: Value = serde_json::from_slice(&text).unwrap_or_default();
        if judge::is_complete(&export, split) || Instant::now() > deadline {
            return Ok(export);
        }
        pause()?;
    }
}

fn script(name: &str) -> std::path::PathBuf {
    bpf::root().join("xtask/collectors").join(name)
}
