//! Captures at the places of the hooks, and what they say about the exchanges observed.

use std::{collections::BTreeMap, fmt, fs, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    Lab,
    plan::{Cloud, UPLINK},
};
use crate::oracle::{self, Exchange, Node, Verdict, pcap};

/// Time that tcpdump takes to listen and, at the end, to write down what it has.
const MOMENT: Duration = Duration::from_millis(700);
const WRONG_SHOWN: usize = 10;

/// The outcome of a check.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Exchanges that are what the captures say.
    pub(crate) right: u64,
    /// Exchanges that the captures do not have all packets of.
    pub(crate) unseen: u64,
    /// What differs; the first few.
    pub(crate) wrong: Vec<String>,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "captures: {} exchanges right, {} wrong, {} not in the captures",
            self.right,
            self.wrong.len(),
            self.unseen
        )?;
        self.wrong.iter().take(WRONG_SHOWN).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl Lab {
    /// Starts a capture at every interface and follows the exchanges observed.
    pub(super) fn start_captures(&mut self) -> Result<()> {
        for cloud in self.plan().clouds.clone() {
            for interface in interfaces(&cloud) {
                let name = capture(&cloud, interface);
                let mut tcpdump = Command::new("tcpdump");
                // Headers suffice; -Z root, because another user could not write here.
                tcpdump.args(["-n", "-s", "128", "-B", "16384", "-Z", "root"]);
                tcpdump.args(["--time-stamp-precision=nano", "-i", interface, "-w"]);
                tcpdump.arg(self.path(&format!("{name}.pcap"))).arg("tcp");
                self.start(&name, &cloud.netns, tcpdump)?;
            }
        }
        let mut observe = Command::new(&self.xcloud);
        observe.args(["observe", "-o", "json", "--aggregator", &self.aggregator()]);
        let mgmt = self.plan().mgmt.clone();
        self.start("observe", &mgmt, observe)?;
        thread::sleep(MOMENT);
        Ok(())
    }

    /// Ends the captures and compares.
    pub(crate) fn verify(&mut self) -> Result<Checked> {
        thread::sleep(MOMENT);
        self.end("capture-");
        self.end("observe");
        let mut nodes = BTreeMap::new();
        for cloud in &self.plan().clouds {
            let mut node = Node::default();
            let mut pods = Vec::new();
            for interface in interfaces(cloud) {
                let file = self.path(&format!("{}.pcap", capture(cloud, interface)));
                let packets = pcap::read(&file)?;
                if interface == UPLINK { node.uplink.add(packets) } else { pods.extend(packets) }
            }
            node.pods.add(pods);
            nodes.insert(cloud.name.clone(), node);
        }
        self.compare(&nodes)
    }

    fn compare(&self, nodes: &BTreeMap<String, Node>) -> Result<Checked> {
        let log = self.log("observe");
        let text =
            fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))?;
        let mut checked = Checked::default();
        for line in text.lines().filter(|line| line.starts_with('{')) {
            // Other items, such as how many were skipped, are not exchanges.
            let Ok(exchange) = serde_json::from_str::<Exchange>(line) else {
                continue;
            };
            match oracle::compare(&exchange, nodes) {
                Verdict::Right => checked.right += 1,
                Verdict::Unseen => checked.unseen += 1,
                Verdict::Wrong(why) => checked.wrong.push(why),
            }
        }
        Ok(checked)
    }
}

fn interfaces(cloud: &Cloud) -> impl Iterator<Item = &str> {
    let pods = cloud.pods.iter().map(|pod| pod.interface.as_str());
    pods.chain([UPLINK])
}

fn capture(cloud: &Cloud, interface: &str) -> String {
    format!("capture-{}-{interface}", cloud.name)
}
