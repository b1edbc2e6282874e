//! The lab's flags, and what their values mean.

use std::{str::FromStr, time::Duration};

use clap::{Args, ValueEnum};

use super::cni::{Cni, Impostor, Order};
use crate::load::LoadKind;

/// Flags of `run` and `lab up`.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
pub(crate) struct LabArgs {
    /// The clouds, one node each; clients run in the first, servers in the others
    #[arg(long, default_value = "aws,gcp", value_delimiter = ',', num_args = 1)]
    pub(crate) clouds: Vec<String>,
    /// How packets get from pod to uplink and back
    #[arg(long, value_enum, default_value = "routed")]
    pub(crate) cni: Cni,
    /// Let clients ask services, whose addresses their node translates to pods' (DNAT)
    #[arg(long)]
    pub(crate) service: bool,
    /// Ways out of each node; the kernel chooses one for each connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) uplinks: u8,
    /// Let another program of a CNI's end the chain at pod interfaces and at the uplink's ingress
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) impostor: Option<Impostor>,
    /// Whether it is asked before or after the agent's programs
    #[arg(long, value_enum, value_name = "PLACE", default_value = "after", requires = "impostor")]
    pub(crate) impostor_place: Order,
    /// Whether agents may enter pods' network namespaces
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub(crate) pod_namespaces: bool,
    /// Whether agents may see what pods' sockets are given where they may not enter
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub(crate) pod_sockets: bool,
    /// Round trip time of the WAN
    #[arg(long, default_value = "40ms", value_parser = humantime::parse_duration)]
    pub(crate) wan_rtt: Duration,
    /// Each direction varies by up to this much either way; order is kept
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) wan_jitter: Duration,
    /// Share of packets lost in each direction, as 1% or 0.01
    #[arg(long, default_value = "0", value_name = "SHARE", value_parser = parse_share)]
    pub(crate) wan_loss: f64,
    /// Share of packets overtaken by later ones
    #[arg(long, default_value = "0", value_name = "SHARE", value_parser = parse_share)]
    pub(crate) wan_reorder: f64,
    /// Rate of each direction, as 100mbit
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) wan_rate: Option<u64>,
    /// Cut super-segments to this MTU on the wire [default: carried whole]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(1280..=9000))]
    pub(crate) wire_mtu: Option<u16>,
    /// Add time at one place, as aws:egress=2ms, gcp:ingress=1ms, gcp:pod=3ms, aws:queue=2ms or aws:queue=20mbit
    #[arg(long, value_name = "CLOUD:PLACE=VALUE", value_delimiter = ',')]
    pub(crate) inject: Vec<Injection>,
    /// Let an agent's clock be off, as aws=1h
    #[arg(long, value_name = "CLOUD=TIME", value_delimiter = ',', value_parser = parse_offset)]
    pub(crate) clock_offset: Vec<(String, Duration)>,
    /// Let an agent's clock run fast, in parts per million, as gcp=50
    #[arg(long, value_name = "CLOUD=PPM", value_delimiter = ',', value_parser = parse_ppm)]
    pub(crate) clock_ppm: Vec<(String, f64)>,
    /// Traffic [default for run: rr; for lab up: none]
    #[arg(long, value_enum)]
    pub(crate) load: Option<LoadKind>,
    /// Connections
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=128))]
    pub(crate) streams: Option<u16>,
    /// Rate of each bulk stream, as 10mbit [default: as fast as it goes]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) stream_rate: Option<u64>,
    /// Traffic over IPv6
    #[arg(long)]
    pub(crate) ipv6: bool,
    /// How long traffic lasts [default: 20s; with --host until Ctrl-C]
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Name of the lab, so that several can be up
    #[arg(long, default_value = "lab", value_parser = parse_name)]
    pub(crate) name: String,
    /// Seed of the wire's random choices
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Kill a process and start it again, as aggregator@3s+20s: after 3 s, for 20 s; nodes' agents as aws@3s+2s
    #[arg(long, hide = true, value_name = "WHO@WHEN+HOW_LONG", value_delimiter = ',')]
    pub(crate) kill: Vec<Kill>,
    /// Have the agents attach their classifiers this way: tcx or clsact [default: the best this kernel has]
    #[arg(long, value_parser = ["tcx", "clsact"])]
    pub(crate) tc_backend: Option<String>,
    /// Have the agents see departures from uplinks this way [default: the best this kernel has]
    #[arg(long, value_name = "HOOK", value_parser = ["tp_btf", "raw_tp", "kprobe", "tc"])]
    pub(crate) uplink_out: Option<String>,
    /// Also capture at the hooks' places and check every observed exchange against the captures
    #[arg(long)]
    pub(crate) verify: bool,
    /// Let the aggregator make load tests, with endpoints in the first pod of each cloud and in each node's network
    #[arg(long)]
    pub(crate) load_tests: bool,
    /// Let agents and the aggregator serve metrics at port 9464 of the management network, with account and BPF statistics
    /// on, and export by OTLP to port 4317 of `mgmt`
    #[arg(long)]
    pub(crate) metrics: bool,
    /// Use this xcloud binary instead of building one
    #[arg(long, hide = true, value_name = "PATH")]
    pub(crate) xcloud: Option<std::path::PathBuf>,
}

impl LabArgs {
    /// How long traffic lasts.
    pub(crate) fn duration(&self) -> Duration {
        self.duration.unwrap_or(Duration::from_secs(20))
    }
}

/// Output formats of `run` and `lab status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

impl Output {
    /// The value `xcloud` knows it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
        }
    }
}

/// Where on a node time is added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    /// Between pod interface and uplink.
    Egress(Duration),
    /// Between uplink and pod interface.
    Ingress(Duration),
    /// In the pods' application.
    Pod(Duration),
    /// A standing queue in the uplink's qdisc.
    Queue(Duration),
    /// The uplink's qdisc lets this many bits per second through.
    Rate(u64),
}

/// Time added at one place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Injection {
    /// On which cloud's node.
    pub(crate) cloud: String,
    /// Where, and how much.
    pub(crate) place: Place,
}

impl FromStr for Injection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once(':').and_then(|(cloud, rest)| Some((cloud, rest.split_once('=')?)));
        let Some((cloud, (place, value))) = parts else {
            return Err(format!("{text:?} is not CLOUD:PLACE=VALUE, as in aws:egress=2ms"));
        };
        let time = || humantime::parse_duration(value).map_err(|e| format!("{value:?}: {e}"));
        let place = match place {
            "egress" => Place::Egress(time()?),
            "ingress" => Place::Ingress(time()?),
            "pod" => Place::Pod(time()?),
            "queue" => parse_rate(value).map(Place::Rate).or_else(|_| time().map(Place::Queue))?,
            other => {
                return Err(format!("no place {other:?}: egress, ingress, pod or queue"));
            }
        };
        Ok(Self { cloud: cloud.into(), place })
    }
}

/// A process killed and started again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kill {
    /// `aggregator` or a cloud, for its agent.
    pub(crate) who: String,
    /// When, after traffic began.
    pub(crate) after: Duration,
    /// For how long it is away.
    pub(crate) away: Duration,
}

impl FromStr for Kill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (who, times) = text.split_once('@').ok_or("not WHO@WHEN+HOW_LONG")?;
        let (after, away) = times.split_once('+').ok_or("not WHO@WHEN+HOW_LONG")?;
        let time = |t| humantime::parse_duration(t).map_err(|e| format!("{t:?}: {e}"));
        Ok(Self { who: who.into(), after: time(after)?, away: time(away)? })
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.parse().map(|p: f64| p / 100.0),
        None => text.parse(),
    };
    match share {
        Ok(share) if (0.0..=0.5).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is not a share from 0 to 50%, as in 1% or 0.01")),
    }
}

/// Bits per second: a number with bit, kbit, mbit or gbit.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let units = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
    let parsed = units.iter().find_map(|(unit, factor)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*factor).filter(|rate| *rate > 0)
    });
    parsed.ok_or_else(|| format!("{text:?} is not a rate, as in 100mbit"))
}

fn parse_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if (1..=8).contains(&text.len()) && text.chars().all(plain) {
        return Ok(text.into());
    }
    Err("a name has 1 to 8 lower-case letters and digits".into())
}

fn parse_offset(text: &str) -> Result<(String, Duration), String> {
    let (cloud, time) = text.split_once('=').ok_or("not CLOUD=TIME, as in aws=1h")?;
    let time = humantime::parse_duration(time).map_err(|e| format!("{time:?}: {e}"))?;
    Ok((cloud.into(), time))
}

fn parse_ppm(text: &str) -> Result<(String, f64), String> {
    let (cloud, ppm) = text.split_once('=').ok_or("not CLOUD=PPM, as in gcp=50")?;
    match ppm.parse::<f64>() {
        Ok(value) if value.abs() <= 10_000.0 => Ok((cloud.into(), value)),
        _ => Err(format!("{ppm:?} is not a number of parts per million")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn injections() {
        let parsed: Injection = "aws:egress=2ms".parse().unwrap();
        assert_eq!(parsed.place, Place::Egress(Duration::from_millis(2)));
        let parsed: Injection = "aws:queue=20mbit".parse().unwrap();
        assert_eq!(parsed.place, Place::Rate(20_000_000));
        let parsed: Injection = "aws:queue=2ms".parse().unwrap();
        assert_eq!(parsed.place, Place::Queue(Duration::from_millis(2)));
        for bad in ["aws", "aws:egress", "aws:nowhere=1ms", "aws:egress=fast", ""] {
            assert!(bad.parse::<Injection>().is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_rates_and_kills() {
        assert_eq!(parse_share("1%"), Ok(0.01));
        assert_eq!(parse_share("0.02"), Ok(0.02));
        assert!(parse_share("200%").is_err());
        assert_eq!(parse_rate("1gbit"), Ok(1_000_000_000));
        assert!(parse_rate("0mbit").is_err());
        assert!(parse_rate("99999999999999gbit").is_err());
        let kill: Kill = "aggregator@3s+20s".parse().unwrap();
        assert_eq!(kill.away, Duration::from_secs(20));
        assert!("aggregator@3s".parse::<Kill>().is_err());
    }
}
