//! What goes over the control connection: states of one byte, and JSON behind its length.

use std::{
    io::{self, Read, Write as _},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Serialize, de::DeserializeOwned};

/// States of a test, as they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum State {
    /// Data connections are there; data is about to flow.
    TestStart = 1,
    /// Data flows.
    TestRunning = 2,
    /// The client has seen enough.
    TestEnd = 4,
    /// The client shall say what it wants.
    ParamExchange = 9,
    /// The client shall open its data connections.
    CreateStreams = 10,
    /// The server gives up.
    ServerTerminate = 11,
    /// The client gives up.
    ClientTerminate = 12,
    /// Client, then server, say what they saw.
    ExchangeResults = 13,
    /// Nothing more is to come.
    DisplayResults = 14,
    /// The client is gone.
    Done = 16,
    /// The server has too much to do.
    AccessDenied = -1,
    /// Two numbers say why the server cannot.
    ServerError = -2,
}

impl State {
    const ALL: [Self; 12] = [
        Self::TestStart,
        Self::TestRunning,
        Self::TestEnd,
        Self::ParamExchange,
        Self::CreateStreams,
        Self::ServerTerminate,
        Self::ClientTerminate,
        Self::ExchangeResults,
        Self::DisplayResults,
        Self::Done,
        Self::AccessDenied,
        Self::ServerError,
    ];

    /// The state of a byte.
    #[must_use]
    pub fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.byte() == byte)
    }

    fn byte(self) -> u8 {
        (self as i8).cast_unsigned()
    }
}

/// A control connection.
#[derive(Debug)]
pub struct Control {
    socket: TcpStream,
    patience: Duration,
}

impl Control {
    /// Talks over `socket`, and waits for a whole answer for `patience`.
    ///
    /// # Errors
    /// The socket takes no options.
    pub fn new(socket: TcpStream, patience: Duration) -> Result<Self> {
        socket.set_nodelay(true).context("setting TCP_NODELAY on the control connection")?;
        // An answer that does not fit the socket's buffer would otherwise wait for a peer that reads nothing.
        socket.set_write_timeout(Some(patience)).context("setting the control timeout")?;
        Ok(Self { socket, patience })
    }

    /// The connection itself.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The peer is gone or takes nothing.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes).context("writing to the control connection")
    }

    /// Sends a state.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn send_state(&mut self, state: State) -> Result<()> {
        self.send(&[state.byte()])
    }

    /// Sends JSON behind its length.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn send_json(&mut self, message: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec(message)?;
        let length = u32::try_from(text.len()).context("a message of 4 GiB")?;
        self.send(&[&length.to_be_bytes()[..], &text].concat())
    }

    /// Receives JSON of at most `most` bytes.
    ///
    /// # Errors
    /// The peer is gone, slow, or sent something else.
    pub fn receive_json<T: DeserializeOwned>(&mut self, most: usize) -> Result<T> {
        let until = Instant::now() + self.patience;
        let mut length = [0; 4];
        self.fill(&mut length, until)?;
        let length = usize::try_from(u32::from_be_bytes(length))?;
        ensure!(length <= most, "a message of {length} bytes came, where at most {most} are taken");
        let mut text = vec![0; length];
        self.fill(&mut text, until)?;
        serde_json::from_slice(&text).context("what came is not the JSON that was expected")
    }

    /// Receives a state.
    ///
    /// # Errors
    /// The peer is gone, silent, or sent no state.
    pub fn receive_state(&mut self) -> Result<State> {
        self.receive_state_within(self.patience)
    }

    /// Receives a state, waiting at most this long.
    ///
    /// # Errors
    /// As [`Self::receive_state`].
    pub fn receive_state_within(&mut self, patience: Duration) -> Result<State> {
        let mut byte = [0];
        self.fill(&mut byte, Instant::now() + patience)?;
        State::of(byte[0]).with_context(|| format!("{} is no state of a test", byte[0]))
    }

    /// The two numbers behind [`State::ServerError`]: iperf3's, and the system's.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn receive_error(&mut self) -> Result<(i32, i32)> {
        let mut words = [0; 8];
        self.fill(&mut words, Instant::now() + self.patience)?;
        let word = |at: usize| {
            i32::from_be_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]])
        };
        Ok((word(0), word(4)))
    }

    /// Says that this side cannot, and why.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn send_error(&mut self, code: i32) -> Result<()> {
        let mut bytes = vec![State::ServerError.byte()];
        bytes.extend(code.to_be_bytes());
        bytes.extend(0_i32.to_be_bytes());
        self.send(&bytes)
    }

    /// Waits until something can be read, at most for `wait`.
    ///
    /// # Errors
    /// The system cannot wait.
    pub fn readable(&self, wait: Duration) -> Result<bool> {
        readable(self.socket.as_fd(), wait)
    }

    fn fill(&mut self, buffer: &mut [u8], until: Instant) -> Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.readable(left)? {
                bail!(
                    "the other end said nothing for {}",
                    humantime::format_duration(self.patience)
                );
            }
            match self.socket.read(&mut buffer[filled..]) {
                Ok(0) => bail!("the other end closed the control connection"),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading the control connection"),
            }
        }
        Ok(())
    }
}

/// Waits until a file can be read, at most for `wait`.
///
/// # Errors
/// The system cannot wait.
pub fn readable(file: BorrowedFd<'_>, wait: Duration) -> Result<bool> {
    let mut files = [PollFd::new(file, PollFlags::POLLIN)];
    // Rounded up: a wait that is cut to nothing would spin.
    let milliseconds = u16::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
    match poll(&mut files, PollTimeout::from(milliseconds)) {
        Ok(ready) => Ok(ready > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error).context("waiting for a connection"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn pair() -> (Control, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let (near, _) = listener.accept().expect("accepts");
        (Control::new(near, Duration::from_millis(100)).expect("a control connection"), far)
    }

    #[test]
    fn json_arrives_whole() {
        let (mut near, far) = pair();
        let mut far = Control::new(far, Duration::from_secs(1)).expect("a control connection");
        far.send_json(&serde_json::json!({"len": 7})).expect("sent");
        let got: Value = near.receive_json(100).expect("received");
        assert_eq!(got["len"], 7);
    }

    #[test]
    fn a_length_beyond_the_limit_reserves_nothing() {
        let (mut near, mut far) = pair();
        far.write_all(&u32::MAX.to_be_bytes()).expect("sent");
        let error = near.receive_json::<Value>(8192).expect_err("refused").to_string();
        assert!(error.contains("at most 8192"), "{error}");
    }

    #[test]
    fn a_peer_that_drips_or_says_nothing_is_given_up() {
        let (mut near, mut far) = pair();
        far.write_all(&[0, 0]).expect("sent");
        let error = near.receive_json::<Value>(8192).expect_err("given up").to_string();
        assert!(error.contains("said nothing"), "{error}");
    }

    #[test]
    fn a_peer_that_leaves_is_no_state() {
        let (mut near, far) = pair();
        drop(far);
        let error = near.receive_state().expect_err("gone").to_string();
        assert!(error.contains("closed"), "{error}");
    }

    proptest! {
        #[test]
        fn every_byte_is_one_state_or_none(byte: u8) {
            if let Some(state) = State::of(byte) {
                prop_assert_eq!(state.byte(), byte);
            }
        }
    }
}
