//! What the engine has to know about a protocol: how requests travel on a connection, and what has become of them.

use super::{seconds::Request, tally::Failure};

/// How requests are made. Shared by all connections.
pub trait Protocol: Sync {
    /// What speaks the protocol on one connection.
    type Link<'a>: Link + Send
    where
        Self: 'a;

    /// One for a connection that is yet to be made.
    fn link(&self) -> Self::Link<'_>;
}

/// Speaks a protocol on one connection, and on those that take its place. Does no input or output itself. All it is given
/// comes from a stranger: it keeps a bounded part and never panics.
pub trait Link {
    /// There will be a new connection: nothing of the one before matters.
    fn reset(&mut self);

    /// Whether the other side has said all that a connection begins with.
    fn settled(&self) -> bool;

    /// Whether the connection takes one more request.
    fn accepts(&self) -> bool;

    /// Begins a request; only called when one more is taken.
    fn begin(&mut self, request: Request);

    /// What is to be written; empty when nothing is.
    fn output(&mut self) -> &[u8];

    /// So much of the output was written.
    fn wrote(&mut self, count: usize);

    /// More bytes, or one datagram.
    fn take(&mut self, bytes: &[u8], ends: &mut Ends) -> Next;

    /// The other side has sent its last byte.
    fn hung_up(&mut self, ends: &mut Ends) -> Next;

    /// Gives up requests that were sent at this time or earlier.
    fn expire(&mut self, sent_ns: u64, ends: &mut Ends) -> Next;

    /// Gives up all requests.
    fn give_up(&mut self, why: Failure, ends: &mut Ends);
}

/// Requests that came to an end.
pub type Ends = Vec<(Request, Outcome)>;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered well.
    Done,
    /// It was not.
    Failed(Failure),
    /// It was answered with this status of gRPC, which is not 0.
    Grpc(u8),
}

impl Outcome {
    /// The outcome of a request whose answer says whether it was served.
    #[must_use]
    pub const fn of(success: bool) -> Self {
        if success { Self::Done } else { Self::Failed(Failure::Status) }
    }
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It stays.
    Keep,
    /// It is of no use any more; requests that are still under way fail for this reason.
    Close(Failure),
}
