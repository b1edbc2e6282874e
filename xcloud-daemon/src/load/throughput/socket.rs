//! Sockets that carry data, set up as the plan says.

use std::{
    io::{self, ErrorKind},
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    cookie::Cookie,
    datagram::{HELLO, OLD_WELCOME, WELCOME},
    plan::{Plan, Protocol},
};

/// How often a thread that waits for its socket looks whether the test is over.
pub const TICK: Duration = Duration::from_millis(100);

/// Bytes of a datagram receiver's buffer, unless the plan says how many.
const DATAGRAM_BUFFER: usize = 8 << 20;

/// Which addresses a host name may stand for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Family {
    /// Only IPv4.
    pub only_ipv4: bool,
    /// Only IPv6.
    pub only_ipv6: bool,
}

impl Family {
    /// Whether an address is one of them.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        !(self.only_ipv4 && address.is_ipv6() || self.only_ipv6 && address.is_ipv4())
    }
}

/// Connects to the first address of a host that answers.
///
/// # Errors
/// The host is not known or does not answer.
pub fn connect(
    host: &str,
    port: u16,
    family: Family,
    from: Option<IpAddr>,
    patience: Duration,
) -> Result<Socket> {
    let name = format!("{host}, port {port}");
    let addresses = (host.trim_matches(['[', ']']), port).to_socket_addrs();
    let addresses = addresses.with_context(|| format!("looking up {host}"))?;
    let mut refused = None;
    for address in addresses.filter(|address| family.has(address.ip())) {
        match open(address, from, Type::STREAM)
            .and_then(|socket| socket.connect_timeout(&address.into(), patience).map(|()| socket))
        {
            Ok(socket) => return Ok(socket),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) => Err(error).with_context(|| {
            format!("connecting to {name}: is `xcloud load throughput -s` or `iperf3 -s` up there?")
        }),
        None => bail!("{name} has no address of the family asked for"),
    }
}

fn open(to: SocketAddr, from: Option<IpAddr>, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), kind, None)?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    Ok(socket)
}

/// Opens a data connection to the server and says whose it is.
///
/// # Errors
/// The server does not take it, or the plan's options are not to be had.
pub fn join(plan: &Plan, server: SocketAddr, from: IpAddr, cookie: &Cookie) -> Result<Socket> {
    let kind = if plan.protocol == Protocol::Tcp { Type::STREAM } else { Type::DGRAM };
    let socket = open(server, Some(from), kind)
        .with_context(|| format!("opening a data connection from {from}"))?;
    prepare(&socket, plan)?;
    let to = SockAddr::from(server);
    match plan.protocol {
        Protocol::Tcp => {
            socket.connect_timeout(&to, Duration::from_secs(10))?;
            send_all(&socket, cookie.bytes())
        }
        Protocol::Udp => socket.connect(&to).and_then(|()| greet(&socket)),
    }
    .with_context(|| format!("opening a data connection to {server}"))?;
    Ok(socket)
}

fn send_all(socket: &Socket, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut &*socket, bytes)
}

/// Makes a datagram socket known to the server. A greeting may be lost, so it is said again.
fn greet(socket: &Socket) -> io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        socket.send(&HELLO.to_ne_bytes())?;
        let mut answer = [MaybeUninit::new(0); 4];
        match socket.recv(&mut answer) {
            // SAFETY: every byte was initialised above.
            Ok(4) => match u32::from_ne_bytes(answer.map(|byte| unsafe { byte.assume_init() })) {
                WELCOME | OLD_WELCOME => return Ok(()),
                _ => {}
            },
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, "the server does not answer over UDP"))
}

/// Whether nothing came in time, which is no failure.
#[must_use]
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Sets what the plan says, on a socket that is not connected yet or has just been accepted.
///
/// # Errors
/// The system does not take it.
pub fn prepare(socket: &Socket, plan: &Plan) -> Result<()> {
    if plan.protocol == Protocol::Tcp {
        prepare_tcp(socket, plan)?;
    }
    if let Some(window) = plan.window {
        socket
            .set_recv_buffer_size(window)
            .and_then(|()| socket.set_send_buffer_size(window))
            .with_context(|| format!("setting socket buffers of {window} bytes"))?;
    } else if plan.protocol == Protocol::Udp {
        hold_datagrams(socket);
    }
    if plan.tos > 0 {
        let tos = u32::from(plan.tos);
        let is_ipv4 = socket.domain().is_ok_and(|domain| domain == Domain::IPV4);
        if is_ipv4 { socket.set_tos_v4(tos) } else { socket.set_tclass_v6(tos) }
            .with_context(|| format!("setting type of service {tos}"))?;
    }
    Ok(())
}

/// Makes room for what comes while a receiver is off the processor: what overflows there would be told as lost by the
/// path. The usual buffer holds a millisecond of 1 Gbit/s.
fn hold_datagrams(socket: &Socket) {
    if setsockopt(socket, sockopt::RcvBufForce, &DATAGRAM_BUFFER).is_err() {
        // Without privilege as much as net.core.rmem_max allows; none of it is needed for a test.
        let _ = socket.set_recv_buffer_size(DATAGRAM_BUFFER);
    }
}

fn prepare_tcp(socket: &Socket, plan: &Plan) -> Result<()> {
    if plan.no_delay {
        socket.set_tcp_nodelay(true).context("setting TCP_NODELAY")?;
    }
    if let Some(mss) = plan.mss {
        socket
            .set_tcp_mss(mss)
            .with_context(|| format!("setting a largest segment of {mss} bytes"))?;
    }
    if let Some(name) = &plan.congestion {
        socket.set_tcp_congestion(name.as_bytes()).with_context(|| {
            format!(
                "choosing congestion control {name:?} (see net.ipv4.tcp_allowed_congestion_control)"
            )
        })?;
    }
    Ok(())
}

/// The congestion control a TCP socket uses.
#[must_use]
pub fn congestion(socket: &Socket) -> Option<String> {
    let name = socket.tcp_congestion().ok()?;
    let name = String::from_utf8_lossy(&name);
    Some(name.trim_end_matches('\0').to_owned())
}

/// An end of a socket, where IPv4 looks like IPv4 even on a socket of both families.
#[must_use]
pub fn plain(address: Option<SocketAddr>) -> SocketAddr {
    let address = address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::throughput::params::tests::plan;

    /// The receive buffer of a datagram socket set up for a window.
    fn buffer(window: Option<usize>) -> usize {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
        prepare(&socket, &Plan { protocol: Protocol::Udp, window, tos: 0, ..plan() })
            .expect("set up");
        socket.recv_buffer_size().expect("told")
    }

    #[test]
    fn a_datagram_receiver_has_room_unless_it_is_told_how_much() {
        let usual = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
        assert!(buffer(None) > usual.recv_buffer_size().expect("told"));
        // The kernel doubles it for its own needs.
        assert_eq!(buffer(Some(64 << 10)), 128 << 10);
    }
}
