//! Protocols with one request at a time on a connection: its answer comes before the next one is sent.

use super::{
    protocol::{Ends, Link, Next, Outcome, Protocol},
    seconds::Request,
    tally::Failure,
};

/// How requests are made that take turns.
pub trait Turns: Sync {
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

impl<T: Turns> Protocol for T {
    type Link<'a>
        = Turn<'a, T>
    where
        T: 'a;

    fn link(&self) -> Turn<'_, T> {
        Turn {
            protocol: self,
            answer: self.answer(),
            request: None,
            id: 0,
            length: None,
            written: 0,
            scratch: Vec::new(),
        }
    }
}

/// A connection on which requests take turns.
#[derive(Debug)]
pub struct Turn<'a, T: Turns> {
    protocol: &'a T,
    answer: T::Answer,
    /// The one under way.
    request: Option<Request>,
    /// Requests begun.
    id: u64,
    /// Bytes of the request, once they were looked at.
    length: Option<usize>,
    /// How many of them were written.
    written: usize,
    scratch: Vec<u8>,
}

impl<T: Turns> Turn<'_, T> {
    fn all_written(&self) -> bool {
        self.length == Some(self.written)
    }

    /// Goes on from what the answer says of itself.
    fn follow(&mut self, progress: Progress, ends: &mut Ends) -> Next {
        match progress {
            Progress::More => Next::Keep,
            Progress::Done { success, reusable } => {
                ends.extend(self.request.take().map(|request| (request, Outcome::of(success))));
                if reusable && self.all_written() {
                    Next::Keep
                } else {
                    Next::Close(Failure::Reset)
                }
            }
            Progress::Garbage => Next::Close(Failure::Protocol),
            Progress::Short => Next::Close(Failure::Reset),
        }
    }
}

impl<T: Turns> Link for Turn<'_, T> {
    fn reset(&mut self) {
        self.request = None;
    }

    fn settled(&self) -> bool {
        true
    }

    fn accepts(&self) -> bool {
        self.request.is_none()
    }

    fn begin(&mut self, request: Request) {
        self.id += 1;
        self.length = None;
        self.written = 0;
        self.answer.begin(self.id);
        self.request = Some(request);
    }

    fn output(&mut self) -> &[u8] {
        if self.request.is_none() || self.all_written() {
            return &[];
        }
        let bytes = self.protocol.request(self.id, &mut self.scratch);
        self.length = Some(bytes.len());
        bytes.get(self.written..).unwrap_or_default()
    }

    fn wrote(&mut self, count: usize) {
        self.written += count;
    }

    fn take(&mut self, bytes: &[u8], ends: &mut Ends) -> Next {
        if self.request.is_none() {
            // It speaks unasked.
            return Next::Close(Failure::Protocol);
        }
        let progress = self.answer.take(bytes);
        self.follow(progress, ends)
    }

    fn hung_up(&mut self, ends: &mut Ends) -> Next {
        if self.request.is_some() {
            let progress = self.answer.end();
            if let Next::Close(why) = self.follow(progress, ends) {
                return Next::Close(why);
            }
        }
        Next::Close(Failure::Reset)
    }

    fn expire(&mut self, sent_ns: u64, _ends: &mut Ends) -> Next {
        match self.request {
            // Its answer could come at any time, in place of the next one's.
            Some(request) if request.sent_ns <= sent_ns => Next::Close(Failure::Timeout),
            _ => Next::Keep,
        }
    }

    fn give_up(&mut self, why: Failure, ends: &mut Ends) {
        ends.extend(self.request.take().map(|request| (request, Outcome::Failed(why))));
    }
}
