//! One request to netlink and its answers, in the calling thread's network namespace.
//!
//! [`super::ifaces`] follows what the kernel tells by itself; this is for questions with a handful of answers that are
//! needed on the spot.

use std::io;

use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NlasIterator, parse_string,
    },
    packet_route::RouteNetlinkMessage,
    sys::{
        Socket, SocketAddr,
        protocols::{NETLINK_NETFILTER, NETLINK_ROUTE, NETLINK_XFRM},
    },
};

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Asks for one thing, or for it to be done; returns the answers' payloads, each without its header.
pub(super) fn ask(message: RouteNetlinkMessage) -> io::Result<Vec<Vec<u8>>> {
    talk(message, NLM_F_REQUEST | NLM_F_ACK)
}

/// Asks for a list.
pub(super) fn list(message: RouteNetlinkMessage) -> io::Result<Vec<Vec<u8>>> {
    talk(message, NLM_F_REQUEST | NLM_F_DUMP)
}

fn talk(message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<Vec<u8>>> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    exchange(NETLINK_ROUTE, &bytes)
}

fn exchange(protocol: isize, request: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(request, 0)?;
    let mut answers = vec![];
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if take_in(&datagram, &mut answers)? {
            return Ok(answers);
        }
    }
}

/// Names of the nftables tables of all families.
///
/// # Errors
/// The kernel has no nftables, or does not tell.
pub fn nftables() -> io::Result<Vec<String>> {
    // NFT_MSG_GETTABLE of the subsystem NFNL_SUBSYS_NFTABLES, and a `struct nfgenmsg` of zeroes: any family.
    const GET_TABLE: u16 = 10 << 8 | 1;
    const NFGENMSG: usize = 4;
    const NFTA_TABLE_NAME: u16 = 1;
    let mut request = [0; HEADER + NFGENMSG];
    request[..4].copy_from_slice(&20u32.to_ne_bytes());
    request[4..6].copy_from_slice(&GET_TABLE.to_ne_bytes());
    request[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    let answers = exchange(NETLINK_NETFILTER, &request)?;
    let name = |answer: &Vec<u8>| {
        let mut attributes = NlasIterator::new(answer.get(NFGENMSG..)?).filter_map(Result::ok);
        let name = attributes.find(|attribute| attribute.kind() == NFTA_TABLE_NAME)?;
        parse_string(name.value()).ok()
    };
    Ok(answers.iter().filter_map(name).collect())
}

/// How many states of IPsec encrypt (ESP).
///
/// # Errors
/// The kernel has no IPsec, or this process lacks `CAP_NET_ADMIN`.
pub fn esp_states() -> io::Result<usize> {
    const XFRM_MSG_GETSA: u16 = 0x12;
    let mut request = [0; HEADER];
    request[..4].copy_from_slice(&16u32.to_ne_bytes());
    request[4..6].copy_from_slice(&XFRM_MSG_GETSA.to_ne_bytes());
    request[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    let states = exchange(NETLINK_XFRM, &request)?;
    Ok(states.iter().filter(|state| is_esp(state)).count())
}

/// A `struct xfrm_usersa_info` starts with a selector and then names the state: destination, SPI, protocol.
fn is_esp(state: &[u8]) -> bool {
    const SELECTOR: usize = 56;
    const PROTOCOL: usize = SELECTOR + 16 + 4;
    state.get(PROTOCOL) == Some(&50)
}

/// Collects the answers of a datagram; returns whether that was the last one.
fn take_in(mut rest: &[u8], answers: &mut Vec<Vec<u8>>) -> io::Result<bool> {
    let short = || io::Error::other("netlink answered with a message cut short");
    while !rest.is_empty() {
        let header = rest.first_chunk::<HEADER>().ok_or_else(short)?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let payload = rest.get(HEADER..length).ok_or_else(short)?;
        match u16::from_ne_bytes([header[4], header[5]]) {
            NLMSG_ERROR | NLMSG_DONE => return end(payload),
            _ => answers.push(payload.to_vec()),
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The last message starts with an error number, 0 or missing when all is well.
fn end(payload: &[u8]) -> io::Result<bool> {
    match payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code)) {
        0 => Ok(true),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_encrypt_are_told_from_those_that_sign_or_compress() {
        // As the kernel tells a state: selector, destination, SPI, protocol, and more.
        let state = |protocol| {
            let mut told = vec![0u8; 224];
            told[40] = 2;
            told[72..76].copy_from_slice(&0x1234u32.to_be_bytes());
            told[76] = protocol;
            told
        };
        const AH: u8 = 51;
        const IPCOMP: u8 = 108;
        assert!(is_esp(&state(50)));
        assert!(!is_esp(&state(AH)) && !is_esp(&state(IPCOMP)));
        assert!(!is_esp(&state(50)[..76]), "cut short");
    }
}
