//! `xcloud load rr`, `crr` and `udp-rr`: request and answer with our own responder.

pub mod frame;

use anyhow::Result;

use super::rate::{
    command,
    slot::Transport,
    timer::nanoseconds,
    turns::{Answer, Progress, Turns},
};
use crate::{cli::rate::RrArgs, usage::usage};

use frame::{ASK, Ask, LARGEST_DATAGRAM, REPLY, Reply};

/// The same request over and over, but for its number.
#[derive(Debug)]
pub struct Rr {
    ask: Ask,
    bytes: Vec<u8>,
    datagrams: bool,
}

impl Rr {
    /// A request, over a stream or as a datagram.
    #[must_use]
    pub fn new(mut ask: Ask, datagrams: bool) -> Self {
        let payload = ask.payload as usize;
        // A datagram's answer is never longer than its request, so that nobody can be flooded in another's name.
        let length = if datagrams { payload.max(ask.answer as usize) } else { payload };
        ask.payload = u32::try_from(length).unwrap_or(u32::MAX);
        let mut bytes = ask.encode(0).to_vec();
        bytes.resize(ASK + length, b'x');
        Self { ask, bytes, datagrams }
    }
}

impl Turns for Rr {
    type Answer = RrAnswer;

    fn answer(&self) -> RrAnswer {
        RrAnswer { datagrams: self.datagrams, ..RrAnswer::default() }
    }

    fn request<'a>(&'a self, id: u64, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        if !self.datagrams {
            return &self.bytes;
        }
        scratch.clear();
        scratch.extend_from_slice(&self.ask.encode(id));
        scratch.extend_from_slice(&self.bytes[ASK..]);
        scratch
    }
}

/// Reads the answers of one connection.
#[derive(Debug, Default)]
pub struct RrAnswer {
    datagrams: bool,
    id: u64,
    head: [u8; REPLY],
    filled: usize,
    reply: Option<Reply>,
    left: u64,
}

impl Answer for RrAnswer {
    fn begin(&mut self, id: u64) {
        *self = Self { datagrams: self.datagrams, id, ..Self::default() };
    }

    fn take(&mut self, bytes: &[u8]) -> Progress {
        if self.datagrams {
            return match Reply::decode(bytes) {
                Some(reply) if bytes.len() - REPLY != reply.payload as usize => Progress::Garbage,
                // The answer to a request that was given up.
                Some(reply) if reply.id != self.id => Progress::More,
                Some(reply) => Progress::Done { success: reply.status == 0, reusable: true },
                None => Progress::Garbage,
            };
        }
        let part = bytes.len().min(REPLY - self.filled);
        let (head, body) = bytes.split_at(part);
        self.head[self.filled..self.filled + part].copy_from_slice(head);
        self.filled += part;
        if self.filled < REPLY {
            return Progress::More;
        }
        let reply = match self.reply {
            Some(reply) => reply,
            None => {
                let Some(reply) = Reply::decode(&self.head) else {
                    return Progress::Garbage;
                };
                self.left = reply.payload.into();
                *self.reply.insert(reply)
            }
        };
        let here = body.len() as u64;
        if here < self.left {
            self.left -= here;
            return Progress::More;
        }
        Progress::Done { success: reply.status == 0, reusable: here == self.left }
    }

    fn end(&mut self) -> Progress {
        Progress::Short
    }
}

/// Runs `xcloud load rr`, `crr` or `udp-rr`.
///
/// # Errors
/// The flags make no request, or the test cannot be made.
pub fn run(args: &RrArgs, transport: Transport) -> Result<()> {
    let datagrams = transport == Transport::Udp;
    let (payload, answer) = sizes(&args.size)?;
    let most = LARGEST_DATAGRAM - ASK.max(REPLY);
    if datagrams && payload.max(answer) as usize > most {
        return Err(usage(format!("--size is {}; a datagram holds {most} bytes", args.size)));
    }
    let delay_ns = nanoseconds(args.delay);
    let host = args.server.rsplit_once(':').and_then(|(host, port)| {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some((host, port.parse().ok()?))
    });
    let (host, port) = host.ok_or_else(|| {
        usage(format!("{:?} is no HOST:PORT of an `xcloud load responder`", args.server))
    })?;
    let ask = Ask { payload, answer, delay_ns, status: args.status };
    let target = command::Target {
        test: match transport {
            Transport::Tcp => "rr",
            Transport::TcpEach => "crr",
            Transport::Udp => "udp-rr",
        },
        name: args.server.clone(),
        address: command::resolve(host, port)?,
        transport,
        settings: vec![
            ("request_bytes", payload.to_string()),
            ("answer_bytes", answer.to_string()),
            ("delay", humantime::format_duration(args.delay).to_string()),
        ],
    };
    command::run(&args.rate, &target, &Rr::new(ask, datagrams))
}

/// Bytes of a request and of its answer.
pub(crate) fn sizes(text: &str) -> Result<(u32, u32)> {
    let parsed = text
        .split_once(',')
        .and_then(|(request, answer)| Some((request.parse().ok()?, answer.parse().ok()?)));
    parsed.filter(|(request, answer): &(u32, u32)| *request.max(answer) <= 1 << 30).ok_or_else(
        || {
            usage(format!(
                "--size is {text:?}; it is REQUEST,ANSWER in bytes up to 2^30, as in 1,1024"
            ))
        },
    )
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn reply(status: u16, payload: u32, id: u64) -> Vec<u8> {
        let mut bytes = Reply { status, payload, id }.encode().to_vec();
        bytes.resize(REPLY + payload as usize, 0);
        bytes
    }

    fn read(bytes: &[u8], cut: usize) -> Progress {
        let mut answer = RrAnswer::default();
        answer.begin(1);
        let mut pieces = bytes.chunks(cut).map(|piece| answer.take(piece));
        pieces.find(|progress| *progress != Progress::More).unwrap_or(Progress::More)
    }

    proptest! {
        #[test]
        fn an_answer_is_whole_however_it_is_cut(status in 0u16..3, payload in 0u32..500, cut in 1usize..100) {
            let bytes = reply(status, payload, 0);
            let done = Progress::Done { success: status == 0, reusable: true };
            prop_assert_eq!(read(&bytes, cut), done);
            prop_assert_eq!(read(&bytes[..bytes.len() - 1], cut), Progress::More);
        }

        #[test]
        fn garbage_does_no_harm(bytes in vec(any::<u8>(), 0..200), cut in 1usize..50, datagrams: bool) {
            let mut answer = RrAnswer { datagrams, ..RrAnswer::default() };
            answer.begin(1);
            bytes.chunks(cut).for_each(|piece| {
                let _ = answer.take(piece);
            });
        }
    }

    #[test]
    fn a_datagram_answers_its_own_request_only() {
        let mut answer = RrAnswer { datagrams: true, ..RrAnswer::default() };
        answer.begin(7);
        assert_eq!(answer.take(&reply(0, 10, 6)), Progress::More);
        assert_eq!(answer.take(&reply(0, 10, 7)[..20]), Progress::Garbage);
        assert_eq!(answer.take(&reply(0, 10, 7)), Progress::Done { success: true, reusable: true });
    }

    #[test]
    fn a_datagram_is_as_long_as_its_answer() {
        let ask = Ask { payload: 1, answer: 1_000, delay_ns: 0, status: 0 };
        let mut scratch = Vec::new();
        assert_eq!(Rr::new(ask, true).request(3, &mut scratch).len(), ASK + 1_000);
        assert_eq!(Rr::new(ask, false).request(3, &mut scratch).len(), ASK + 1);
    }

    #[test]
    fn sizes_are_two_numbers() {
        assert_eq!(sizes("1,1024").expect("fine"), (1, 1024));
        for wrong in ["", "1", "a,b", "1,2,3", "1,2000000000", "-1,1"] {
            assert!(sizes(wrong).is_err(), "{wrong}");
        }
    }
}
