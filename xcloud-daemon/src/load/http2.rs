//! HTTP/2 over TCP without encryption (RFC 9113, with prior knowledge), as far as load tests speak it. Written for the
//! path that is timed: a request is encoded once, and nothing is allocated for one that is sent or answered.

pub mod blocks;
pub mod call;
mod client;
pub mod frame;
pub mod hpack;
mod huffman;
pub mod link;
pub mod out;
pub mod peer;
pub mod reply;
pub mod request;
pub mod session;
mod table;

use super::rate::protocol::Protocol;
use call::Call;
use link::Http2Link;

/// The other side does not keep to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Protocol for Call {
    type Link<'a> = Http2Link<'a>;

    fn link(&self) -> Http2Link<'_> {
        Http2Link::new(self)
    }
}
