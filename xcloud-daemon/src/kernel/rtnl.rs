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
        protocols::{NETLINK_NETFILTER, NETLINK_ROUTE},
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
