//! What the engine has to know about a protocol: which bytes ask, and when an answer is complete.

/// How a request is made. Shared by all connections.
pub trait Protocol: Sync {
    /// What reads the answers of one connection.
    type Answer: Answer + Send;

    /// A reader for a new connection.
    fn answer(&self) -> Self::Answer;

    /// The bytes of a connection's `id`-th request. Over TCP they are the same each time; `scratch` is for those that
    /// are not.
    fn request<'a>(&'a self, id: u64, scratch: &'a mut Vec<u8>) -> &'a [u8];
}

/// Reads answers. All it is given comes from a stranger: it keeps a bounded part and never panics.
pub trait Answer {
    /// A request was sent; what comes next belongs to its answer.
    fn begin(&mut self, id: u64);

    /// More bytes, or one datagram.
    fn take(&mut self, bytes: &[u8]) -> Progress;

    /// The other side has sent its last byte.
    fn end(&mut self) -> Progress;
}

/// How far an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not complete.
    More,
    /// Complete.
    Done {
        /// It says that the request was served.
        success: bool,
        /// The connection can take another request.
        reusable: bool,
    },
    /// None of this protocol.
    Garbage,
    /// It ended too early.
    Short,
}
