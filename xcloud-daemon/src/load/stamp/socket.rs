//! Sockets that say when the kernel got a packet.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
};

use anyhow::{Context as _, Result};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::SockRef;

use super::clock::{monotonic_ns, wall_ns};

/// Room for what bursts.
const BUFFER: usize = 4 << 20;
/// A packet that waited longer than this in the kernel was not: the wall clock was stepped.
const LONGEST_WAIT_NS: i64 = 10_000_000_000;

/// A packet that came.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its bytes.
    pub length: usize,
    /// From whom, where the system says so.
    pub from: Option<SocketAddr>,
    /// When the kernel got it, by the monotonic clock.
    pub monotonic_ns: u64,
    /// Its time to live.
    pub ttl: Option<u8>,
}

/// A socket at an address.
///
/// # Errors
/// It is taken, not this machine's or not allowed.
pub fn open(address: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(address).with_context(|| {
        format!("listening on UDP {address} (ports below 1024 need root or CAP_NET_BIND_SERVICE)")
    })?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true).context("asking for timestamps")?;
    let options = SockRef::from(&socket);
    // The standard's value, so that the other end can tell the hops.
    let hops = if address.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4RecvTtl, &true).context("asking for the TTL")?;
        options.set_ttl_v4(255)
    } else {
        setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)
            .context("asking for the hop limit")?;
        options.set_unicast_hops_v6(255)
    };
    hops.context("setting the time to live")?;
    if let Err(error) = options.set_recv_buffer_size(BUFFER) {
        tracing::debug!("a larger receive buffer: {error}");
    }
    Ok(socket)
}

/// Receives packets; keeps what that takes.
#[derive(Debug)]
pub struct Receiver {
    control: Vec<u8>,
}

impl Receiver {
    /// Can be used for any socket of [`open`].
    #[must_use]
    pub fn new() -> Self {
        Self { control: nix::cmsg_space!(libc::timespec, libc::c_int, libc::c_int) }
    }

    /// The next packet; one longer than `bytes` is an error of kind `InvalidData`.
    ///
    /// # Errors
    /// As the socket says: nothing came in time, or an earlier packet could not be delivered.
    pub fn receive(&mut self, socket: &UdpSocket, bytes: &mut [u8]) -> io::Result<Received> {
        let mut parts = [IoSliceMut::new(bytes)];
        let message = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut self.control),
            MsgFlags::empty(),
        )?;
        let (monotonic, wall) = (monotonic_ns(), wall_ns());
        if message.flags.contains(MsgFlags::MSG_TRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let from = message.address.and_then(|from| {
            let v4 = from.as_sockaddr_in().map(|from| SocketAddr::V4((*from).into()));
            v4.or_else(|| from.as_sockaddr_in6().map(|from| SocketAddr::V6((*from).into())))
        });
        let (mut waited, mut ttl) = (0, None);
        for note in message.cmsgs()? {
            match note {
                ControlMessageOwned::ScmTimestampns(at) => {
                    waited = wall - (at.tv_sec() * 1_000_000_000 + at.tv_nsec());
                }
                ControlMessageOwned::Ipv4Ttl(hops) => ttl = u8::try_from(hops).ok(),
                ControlMessageOwned::Ipv6HopLimit(hops) => ttl = u8::try_from(hops).ok(),
                _ => {}
            }
        }
        let waited = if (0..LONGEST_WAIT_NS).contains(&waited) { waited.unsigned_abs() } else { 0 };
        let monotonic_ns = monotonic.saturating_sub(waited);
        Ok(Received { length: message.bytes, from, monotonic_ns, ttl })
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}
