//! `xcloud load grpc`: its flags.

use std::time::Duration;

use clap::Args;

use super::rate::RateArgs;

/// `xcloud load grpc`.
#[derive(Args, Clone, Debug)]
pub struct GrpcArgs {
    /// What to call, as http://HOST:PORT[/PACKAGE.SERVICE/METHOD] [default method: grpc.health.v1.Health/Check, or that
    /// of `xcloud load responder` with --size]
    pub url: String,
    /// The request's message, encoded: text, or @FILE [default: empty]
    #[arg(long, value_name = "TEXT", conflicts_with = "size")]
    pub message: Option<String>,
    /// Bytes of the messages of a request and of its answer, with an `xcloud load responder`
    #[arg(short = 'r', long, value_name = "REQUEST,ANSWER")]
    pub size: Option<String>,
    /// How long an `xcloud load responder` waits before it answers
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub delay: Duration,
    /// The status an `xcloud load responder` answers with; 0 is success
    #[arg(long, default_value_t = 0)]
    pub status: u8,
    /// Calls at once on a connection
    #[arg(short, long, default_value_t = 1)]
    pub streams: u32,
    /// Metadata to send, as `name: value`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// How
    #[command(flatten)]
    pub rate: RateArgs,
}
