//! The server's end: tests of many clients at once, told apart by their cookies.

mod datagrams;
mod door;
mod host;
mod session;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsFd as _,
    sync::{Arc, mpsc::channel},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use socket2::{Domain, Socket, Type};

use self::host::Host;
pub use self::host::Limits;
use super::{record::Record, socket::Family};

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Address, or all of them.
    pub address: Option<IpAddr>,
    /// Families.
    pub family: Family,
    /// Port, of TCP and of UDP.
    pub port: u16,
}

/// What a server tells.
pub trait Clerk: Send + Sync {
    /// The server is ready.
    ///
    /// # Errors
    /// That cannot be told.
    fn ready(&self, at: SocketAddr) -> Result<()>;
    /// A test has been made.
    fn made(&self, record: &Record);
    /// A connection came to nothing.
    fn failed(&self, client: &str, error: &anyhow::Error);
    /// The report that a client wants to see.
    fn report(&self, record: &Record) -> super::results::Report;
}

/// Serves tests; ends only after the first when that is wanted.
///
/// # Errors
/// The port cannot be had.
pub fn run(place: &Place, limits: Limits, interval: Duration, clerk: Arc<dyn Clerk>) -> Result<()> {
    let one_off = limits.one_off;
    let (listener, at) = listen(place, Type::STREAM)?;
    listener.listen(1024).context("listening")?;
    let (datagrams, _) = listen(&Place { port: at.port(), ..*place }, Type::DGRAM)?;
    let (done, ended) = channel();
    let host = Arc::new(Host::new(at.port(), limits, interval, clerk.clone(), done));
    let for_datagrams = host.clone();
    thread::Builder::new()
        .name("datagrams".into())
        .spawn(move || datagrams::serve(&datagrams, &for_datagrams))
        .context("starting a thread for datagrams")?;
    clerk.ready(at)?;
    let over = move || one_off && ended.try_recv().is_ok();
    door::serve(&listener.into(), &host, &over)
}

fn listen(place: &Place, kind: Type) -> Result<(Socket, SocketAddr)> {
    let any = if place.family.only_ipv4 {
        IpAddr::from(Ipv4Addr::UNSPECIFIED)
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let at = SocketAddr::new(place.address.unwrap_or(any), place.port);
    let both = place.address.is_none() && !place.family.only_ipv6;
    let opened = open(at, kind, both);
    // A kernel without IPv6 still has IPv4.
    let opened = if both && opened.is_err() && at.is_ipv6() {
        open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, place.port)), kind, false)
    } else {
        opened
    };
    opened.with_context(|| {
        format!("listening on {at}: is another server up there? -p takes another port")
    })
}

fn open(at: SocketAddr, kind: Type, both: bool) -> Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(at), kind, None)?;
    // Datagram sockets of clients share the server's port; without this a second server would, too.
    socket.set_reuse_address(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(!both)?;
    }
    socket.bind(&at.into())?;
    let at = socket.local_addr()?.as_socket().context("no address")?;
    Ok((socket, at))
}

/// Waits until something comes to a socket, at most for `wait`.
fn comes(socket: &Socket, wait: Duration) -> bool {
    super::protocol::readable(socket.as_fd(), wait).unwrap_or(false)
}
