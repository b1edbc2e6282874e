//! `xcloud load throughput`: flags with the meaning they have in iperf3.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};

use super::{
    ends::{EndsArgs, ReadyArgs},
    fact::FactArgs,
};

/// `xcloud load throughput`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("role").required(true).args(["client", "server"]))]
pub struct ThroughputArgs {
    /// Test against the server at this host: another xcloud, or iperf3
    #[arg(short, long, value_name = "HOST")]
    pub client: Option<String>,
    /// Serve tests, of iperf3 too, to any number of clients at once
    #[arg(short, long)]
    pub server: bool,
    /// Port to listen on or connect to
    #[arg(short, long, default_value_t = 5201)]
    pub port: u16,
    /// Address to listen on or to send from
    #[arg(short = 'B', long, value_name = "ADDRESS")]
    pub bind: Option<IpAddr>,
    /// Only IPv4
    #[arg(short = '4', long = "version4", conflicts_with = "only_ipv6")]
    pub only_ipv4: bool,
    /// Only IPv6
    #[arg(short = '6', long = "version6")]
    pub only_ipv6: bool,
    /// Seconds between reports
    #[arg(short, long, default_value_t = 1.0)]
    pub interval: f64,
    /// Print JSON of iperf3's shape instead of lines
    #[arg(short = 'J', long)]
    pub json: bool,
    /// What to send
    #[command(flatten)]
    pub load: LoadArgs,
    /// What to do with what was found
    #[command(flatten)]
    pub outcome: OutcomeArgs,
    /// What a server lets clients do
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// What a client asks for.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct LoadArgs {
    /// Seconds to send
    #[arg(short, long, default_value_t = 10, conflicts_with = "bytes")]
    pub time: u64,
    /// Bytes to send instead, with K, M, G
    #[arg(short = 'n', long, value_parser = binary)]
    pub bytes: Option<u64>,
    /// Seconds sent before that and left out of the figures
    #[arg(short = 'O', long, default_value_t = 0)]
    pub omit: u64,
    /// Streams at once
    #[arg(short = 'P', long, default_value_t = 1)]
    pub parallel: usize,
    /// The server sends
    #[arg(short = 'R', long, conflicts_with = "bidir")]
    pub reverse: bool,
    /// Both send
    #[arg(long)]
    pub bidir: bool,
    /// UDP instead of TCP
    #[arg(short, long)]
    pub udp: bool,
    /// Bits per second of each stream, with K, M, G, and packets sent at once after a slash; 0 is no limit [default: 1M
    /// for UDP, no limit for TCP]
    #[arg(short, long, value_name = "RATE[/BURST]", value_parser = rate)]
    pub bitrate: Option<(u64, u32)>,
    /// Bytes per write or datagram, with K, M [default: 128K for TCP, what fits a packet for UDP]
    #[arg(short, long, value_parser = binary)]
    pub length: Option<u64>,
    /// Bytes of socket buffers, with K, M
    #[arg(short, long, value_parser = binary)]
    pub window: Option<u64>,
    /// No delay of small segments (Nagle)
    #[arg(short = 'N', long)]
    pub no_delay: bool,
    /// Congestion control, e.g. cubic
    #[arg(short = 'C', long)]
    pub congestion: Option<String>,
    /// Largest segment, in bytes
    #[arg(short = 'M', long, value_name = "BYTES")]
    pub set_mss: Option<u32>,
    /// IP type of service
    #[arg(short = 'S', long, default_value_t = 0)]
    pub tos: u8,
    /// Send from page cache instead of copying (sendfile)
    #[arg(short = 'Z', long)]
    pub zerocopy: bool,
    /// Receivers throw data away inside the kernel
    #[arg(long)]
    pub skip_rx_copy: bool,
    /// Number datagrams in 64 bits
    #[arg(long)]
    pub udp_counters_64bit: bool,
    /// Show the server's own report too
    #[arg(long)]
    pub get_server_output: bool,
    /// How long to wait for the server's answer to a connection
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    pub connect_timeout: Duration,
}

/// What becomes of the figures.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Results")]
pub struct OutcomeArgs {
    /// Write a file for `xcloud compare` and `xcloud report`
    #[arg(short = 'o', long, value_name = "FILE")]
    pub result: Option<PathBuf>,
    /// Tests made one after another, each a trial of the result
    #[arg(long, default_value_t = 1)]
    pub repeat: u32,
    /// What a reader of the result calls it
    #[arg(long, default_value = "throughput")]
    pub label: String,
    /// What its ends are called
    #[command(flatten)]
    pub ends: EndsArgs,
    /// What holds for the network
    #[command(flatten)]
    pub fact: FactArgs,
}

/// What a server allows.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub struct LimitArgs {
    /// End after one test
    #[arg(short = '1', long)]
    pub one_off: bool,
    /// Tests at once; more are told that the server is busy
    #[arg(long, default_value_t = 16)]
    pub max_tests: usize,
    /// Longest test, warming up included; a longer one is refused
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    pub max_duration: Duration,
    /// Bytes of one test, both directions; a test that reaches it is ended [default: no limit]
    #[arg(long, value_parser = binary)]
    pub max_bytes: Option<u64>,
    /// How it says that it listens
    #[command(flatten)]
    pub ready: ReadyArgs,
}

/// A number with K, M, G or T, which are powers of 1024.
fn binary(text: &str) -> Result<u64, String> {
    scaled(text, 1024.0)
}

/// Bits per second, with K, M, G or T as powers of 1000.
pub(crate) fn decimal(text: &str) -> Result<u64, String> {
    scaled(text, 1000.0)
}

/// Bits per second, with K, M, G or T as powers of 1000, and the burst after a slash.
fn rate(text: &str) -> Result<(u64, u32), String> {
    let (rate, burst) = text.split_once('/').unwrap_or((text, "1"));
    let burst = burst.parse().ok().filter(|burst| (1..=1000).contains(burst));
    Ok((scaled(rate, 1000.0)?, burst.ok_or("a burst is 1 to 1000 packets")?))
}

fn scaled(text: &str, base: f64) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no number such as 800, 64K or 1.5G");
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    let value = number.parse::<f64>().map_err(|_| wrong())? * base.powi(power);
    // Beyond 2^53 a float is no exact number.
    if !(0.0..9e15).contains(&value) {
        return Err(wrong());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    Ok(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_and_rates_of_1000() {
        assert_eq!(binary("128K"), Ok(131_072));
        assert_eq!(binary("1.5m"), Ok(1_572_864));
        assert_eq!(rate("10M"), Ok((10_000_000, 1)));
        assert_eq!(rate("1g/32"), Ok((1_000_000_000, 32)));
        assert_eq!(rate("0"), Ok((0, 1)));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "K", "-1", "1X", "1KK", "nan", "inf", "1e300", "é"] {
            assert!(binary(text).is_err(), "{text:?}");
        }
        assert!(rate("1M/0").is_err());
        assert!(rate("1M/x").is_err());
    }
}
