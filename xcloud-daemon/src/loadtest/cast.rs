//! Who plays in a test, and how they are reached.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use xcloud_proto::loadtest::v1::{AttendResponse, LoadTest, report::News};

use super::attendee::Attendee;

/// What an endpoint's stream holds.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Whose it is.
    pub name: String,
    /// Tells it from an earlier stream of the same name.
    pub serial: u64,
    /// Cancelled when the stream has to end, and when it has ended.
    pub gone: CancellationToken,
}

/// An endpoint in a test.
#[derive(Debug)]
pub struct Player {
    /// Who it is.
    pub attendee: Attendee,
    /// Which of its streams.
    pub serial: u64,
    /// What it is told.
    pub orders: mpsc::Sender<AttendResponse>,
    /// It is not there any more, or is to go.
    pub gone: CancellationToken,
    /// What it reports.
    pub reports: mpsc::Receiver<News>,
}

/// A test that begins.
#[derive(Debug)]
pub struct Started {
    /// The test.
    pub test: LoadTest,
    /// Who sends.
    pub from: Player,
    /// Who answers.
    pub to: Player,
    /// Somebody wants its end.
    pub cancel: CancellationToken,
}
