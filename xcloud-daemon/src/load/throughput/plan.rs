//! What is to be done in a test: both ends agree on it before data flows.

use std::time::Duration;

/// Streams of one test, in one direction.
pub const MAX_STREAMS: usize = 128;
/// Bytes of a TCP write.
pub const MAX_TCP_LENGTH: usize = 1 << 20;
/// Bytes of a UDP datagram.
pub const MAX_UDP_LENGTH: usize = 65_507;
/// Bytes of a datagram that hold its counters.
pub const MIN_UDP_LENGTH: usize = 16;
/// Longest test.
pub const MAX_TIME: Duration = Duration::from_secs(86_400);
/// Longest warm-up.
pub const MAX_OMIT: Duration = Duration::from_secs(600);

/// What carries the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    Forward,
    /// The server.
    Reverse,
    /// Both.
    Both,
}

/// A test.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What carries the data.
    pub protocol: Protocol,
    /// Who sends.
    pub direction: Direction,
    /// Streams in each direction.
    pub streams: usize,
    /// Bytes per write or datagram.
    pub length: usize,
    /// How long, without the warm-up; not when bytes are given.
    pub time: Duration,
    /// Warm-up, left out of the figures.
    pub omit: Duration,
    /// Bytes of each direction after which it ends.
    pub bytes: Option<u64>,
    /// Bits per second of each stream.
    pub rate: Option<u64>,
    /// Writes made at once when paced.
    pub burst: u32,
    /// Socket buffers.
    pub window: Option<usize>,
    /// Largest segment.
    pub mss: Option<u32>,
    /// No delay of small segments.
    pub no_delay: bool,
    /// Congestion control.
    pub congestion: Option<String>,
    /// IP type of service.
    pub tos: u8,
    /// Send without a copy.
    pub zero_copy: bool,
    /// Receive without a copy.
    pub skip_receive_copy: bool,
    /// Datagrams are numbered in 64 bits.
    pub wide_counters: bool,
    /// The client wants the server's report.
    pub server_output: bool,
}

impl Plan {
    /// Whether stream `index` carries data from the client: its own come first.
    #[must_use]
    pub fn client_sends(&self, index: usize) -> bool {
        match self.direction {
            Direction::Forward => true,
            Direction::Reverse => false,
            Direction::Both => index < self.streams,
        }
    }

    /// Data connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        if self.direction == Direction::Both { 2 * self.streams } else { self.streams }
    }

    /// The number by which stream `index` is called in results; 2 is never used, as in iperf3.
    #[must_use]
    pub fn id(index: usize) -> u64 {
        let index = u64::try_from(index).unwrap_or(u64::MAX - 2);
        if index == 0 { 1 } else { index + 2 }
    }

    /// The longest that data flows.
    #[must_use]
    pub fn whole_time(&self) -> Duration {
        self.omit + if self.bytes.is_some() { MAX_TIME } else { self.time }
    }

    /// What cannot be done, in one sentence.
    ///
    /// # Errors
    /// Something is out of range.
    pub fn check(&self) -> Result<(), Fault> {
        let (shortest, longest) = match self.protocol {
            Protocol::Tcp => (1, MAX_TCP_LENGTH),
            Protocol::Udp => (MIN_UDP_LENGTH, MAX_UDP_LENGTH),
        };
        let faults = [
            (!(1..=MAX_STREAMS).contains(&self.streams), Fault::Streams),
            (!(shortest..=longest).contains(&self.length), Fault::Length { shortest, longest }),
            (self.time > MAX_TIME, Fault::Time),
            (self.time.is_zero() && self.bytes.is_none(), Fault::Endless),
            (self.omit > MAX_OMIT, Fault::Omit),
            (self.window.is_some_and(|window| window > 512 << 20), Fault::Window),
            (self.mss.is_some_and(|mss| !(88..=65_495).contains(&mss)), Fault::Mss),
        ];
        faults.into_iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, fault)| Err(fault))
    }
}

/// Why a test cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Number of streams.
    Streams,
    /// Bytes per write.
    Length {
        /// From.
        shortest: usize,
        /// To.
        longest: usize,
    },
    /// Too long.
    Time,
    /// No end.
    Endless,
    /// Too long a warm-up.
    Omit,
    /// Socket buffers.
    Window,
    /// Largest segment.
    Mss,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Streams => write!(f, "--parallel is 1 to {MAX_STREAMS}"),
            Self::Length { shortest, longest } => {
                write!(f, "--length is {shortest} to {longest} bytes")
            }
            Self::Time => write!(f, "--time is at most {} seconds", MAX_TIME.as_secs()),
            Self::Endless => write!(f, "--time 0 has no end: give seconds or --bytes"),
            Self::Omit => write!(f, "--omit is at most {} seconds", MAX_OMIT.as_secs()),
            Self::Window => write!(f, "--window is at most 512M"),
            Self::Mss => write!(f, "--set-mss is 88 to 65495 bytes"),
        }
    }
}
