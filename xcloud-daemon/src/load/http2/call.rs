//! A request of HTTP/2, encoded once and sent over and over.

use super::{frame::MOST_PAYLOAD, hpack, reply::Kind};

/// The same request over and over.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its header block.
    pub block: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
    /// What its answer is.
    pub kind: Kind,
    /// Most requests at once on a connection.
    pub streams: u32,
}

impl Call {
    /// A request of these fields, in this order; `None` if they do not fit a frame that every server takes.
    #[must_use]
    pub fn new<'a>(
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        body: Vec<u8>,
        kind: Kind,
        streams: u32,
    ) -> Option<Self> {
        let mut block = Vec::new();
        fields.into_iter().for_each(|(name, value)| hpack::encode(&mut block, name, value));
        (block.len() <= MOST_PAYLOAD).then_some(Self { block, body, kind, streams })
    }
}
