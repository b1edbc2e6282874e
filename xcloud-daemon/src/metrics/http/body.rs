//! An answer's body, made piece by piece by a thread and written away as it is made: no faster than the other side reads,
//! so it is never in memory as a whole.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::super::{Sample, Sink, Written, family::Family};

/// Bytes of which a piece is made.
const PIECE: usize = 1 << 18;

/// A part of a body.
#[derive(Debug)]
pub(super) enum Piece {
    /// More will come.
    Part(Bytes),
    /// This is all.
    Last(Bytes),
}

/// Hands on what a sink writes.
#[derive(Debug)]
pub(super) struct Streamed<W, F> {
    to: W,
    hand_on: F,
    /// Whether anybody still takes it.
    is_wanted: bool,
}

impl<W: Written, F: FnMut(Piece) -> bool> Streamed<W, F> {
    /// Pieces go to `hand_on`, which says whether more are wanted.
    pub(super) const fn new(to: W, hand_on: F) -> Self {
        Self { to, hand_on, is_wanted: true }
    }

    /// Hands the rest on, and that it is all.
    pub(super) fn finish(mut self) {
        self.to.end();
        self.hand_on(PIECE);
        if self.is_wanted {
            let rest = self.to.next(0).unwrap_or_default();
            (self.hand_on)(Piece::Last(rest.into()));
        }
    }

    fn hand_on(&mut self, least: usize) {
        while self.is_wanted
            && let Some(piece) = self.to.next(least)
        {
            self.is_wanted = (self.hand_on)(Piece::Part(piece.into()));
        }
    }
}

impl<W: Written, F: FnMut(Piece) -> bool + Send> Sink for Streamed<W, F> {
    fn family(&mut self, family: &'static Family) {
        if self.is_wanted {
            self.to.family(family);
            self.hand_on(PIECE);
        }
    }

    fn sample(&mut self, sample: Sample<'_>) {
        if self.is_wanted {
            self.to.sample(sample);
            self.hand_on(PIECE);
        }
    }
}

/// A body of pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    /// The first, until it is taken.
    first: Option<Piece>,
    /// Where the others come from; none when there are no more.
    others: Option<mpsc::Receiver<Piece>>,
    /// Given back when all is written.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Pieces {
    /// All of it.
    pub(super) const fn whole(text: &'static str) -> Self {
        let first = Some(Piece::Last(Bytes::from_static(text.as_bytes())));
        Self { first, others: None, _turn: None }
    }

    /// What comes from a channel; nothing when nothing comes.
    pub(super) async fn of(
        mut made: mpsc::Receiver<Piece>,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Option<Self> {
        let first = made.recv().await?;
        Some(Self { first: Some(first), others: Some(made), _turn: turn })
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match (self.first.take(), &mut self.others) {
            (Some(first), _) => Poll::Ready(Some(first)),
            (None, Some(others)) => others.poll_recv(context),
            (None, None) => return Poll::Ready(None),
        };
        piece.map(|piece| match piece {
            Some(Piece::Part(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::Last(bytes)) => {
                self.others = None;
                Some(Ok(Frame::data(bytes)))
            }
            // A body that just ended would be taken for whole.
            None => Some(Err(io::Error::other("collecting failed"))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.others.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.first {
            Some(Piece::Last(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}
