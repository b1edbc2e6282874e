//! `xcloud load responder`: the other side of load tests. Answers requests of `xcloud load rr`, `crr` and `udp-rr`, and
//! HTTP at `/payload?size=&delay=&status=`, and gRPC, all on one port.

mod connection;
mod datagrams;
mod http2;
mod request;
mod serve;

use std::net::{SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context as _, Result};

use super::{
    rate::{allow_connections, timer::nanoseconds},
    ready,
};
use crate::cli::rate::ResponderArgs;

/// What payloads are made of.
static PATTERN: [u8; 64 << 10] = [b'x'; 64 << 10];

/// What a request may ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    max_size: u32,
    max_delay_ns: u64,
    max_connections: usize,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    delay_ns: u64,
    /// Bytes of the request that are to come and do not matter.
    skip: u64,
    answer: Reply,
    close: bool,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// In frames of our own.
    Frame { status: u16, payload: u32, id: u64 },
    /// In HTTP; `head` leaves the body out.
    Http { status: u16, payload: u32, head: bool },
}

/// Runs `xcloud load responder`.
///
/// # Errors
/// Its address cannot be listened on.
pub fn run(args: &ResponderArgs) -> Result<()> {
    let limits = Limits {
        max_size: args.max_size,
        max_delay_ns: nanoseconds(args.max_delay),
        max_connections: args.max_connections,
    };
    allow_connections(args.max_connections as u64);
    let listening = |address: SocketAddr| move || format!("listening on {address}");
    let tcp = TcpListener::bind(args.listen).with_context(listening(args.listen))?;
    // With port 0 the kernel chooses one, for both.
    let address = tcp.local_addr().context("asking for the port")?;
    let udp = UdpSocket::bind(address).with_context(listening(address))?;
    eprintln!(
        "xcloud: answering on {address}, TCP, UDP, gRPC and http://{address}/payload?size=&delay=&status="
    );
    ready::tell(&args.ready, address)?;
    serve::serve(tcp, udp, limits, args.duration)
}
