//! Requests that come as datagrams. An answer is never longer than its request, so that a forged sender address gains an
//! attacker nothing.

use std::net::{SocketAddr, UdpSocket};

use super::{Limits, Reply, Wanted, request};
use crate::load::rr::frame::{self, ASK, LARGEST_DATAGRAM, REPLY};

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) to: SocketAddr,
    reply: frame::Reply,
}

/// The answer to a datagram, and how long it has to wait.
pub(super) fn understand(
    bytes: &[u8],
    from: SocketAddr,
    limits: &Limits,
) -> Option<(u64, Datagram)> {
    let request::Parsed::Request(head, wanted) = request::parse(bytes, limits) else {
        return None;
    };
    let Wanted { delay_ns, answer: Reply::Frame { status, payload, id }, .. } = wanted else {
        return None;
    };
    let fits = head == ASK && payload as usize <= bytes.len() - ASK;
    let reply = if fits {
        frame::Reply { status, payload, id }
    } else {
        frame::Reply { status: 413, payload: 0, id }
    };
    Some((if fits { delay_ns } else { 0 }, Datagram { to: from, reply }))
}

/// Sends an answer; one that the kernel has no room for is lost, as datagrams may be.
pub(super) fn send(socket: &UdpSocket, datagram: &Datagram, buffer: &mut [u8]) {
    let length = REPLY + datagram.reply.payload as usize;
    if let Some(bytes) = buffer.get_mut(..length.min(LARGEST_DATAGRAM)) {
        bytes[..REPLY].copy_from_slice(&datagram.reply.encode());
        if let Err(error) = socket.send_to(bytes, datagram.to) {
            tracing::debug!("answering {}: {error}", datagram.to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::rr::frame::Ask;

    const LIMITS: Limits = Limits { max_size: 10_000, max_delay_ns: 1_000_000, max_connections: 1 };

    fn answer_to(ask: Ask, length: usize) -> Option<(u64, frame::Reply)> {
        let mut bytes = ask.encode(9).to_vec();
        bytes.resize(ASK + length, 0);
        let from = "127.0.0.1:9".parse().expect("an address");
        understand(&bytes, from, &LIMITS).map(|(delay, datagram)| (delay, datagram.reply))
    }

    #[test]
    fn an_answer_is_never_longer_than_its_request() {
        let ask = Ask { payload: 0, answer: 100, delay_ns: 5, status: 0 };
        let fits = frame::Reply { status: 0, payload: 100, id: 9 };
        assert_eq!(answer_to(ask, 100), Some((5, fits)));
        let refused = frame::Reply { status: 413, payload: 0, id: 9 };
        assert_eq!(answer_to(ask, 99), Some((0, refused)));
        const { assert!(REPLY <= ASK) };
    }

    #[test]
    fn other_datagrams_are_not_answered() {
        let from = "127.0.0.1:9".parse().expect("an address");
        for bytes in [&b""[..], b"xcq", b"xcq1", b"GET /payload HTTP/1.1\r\n\r\n"] {
            assert!(understand(bytes, from, &LIMITS).is_none(), "{bytes:?}");
        }
    }
}
