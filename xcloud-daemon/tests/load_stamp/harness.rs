//! Runs the binary, and reflectors for it.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use xcloud::{
    load::stamp::{
        clock::{Clock, error_estimate, monotonic_ns},
        packet,
        reflector::{Arrival, Limits, Reflector},
        socket::{self, Receiver},
        timestamp::Format,
    },
    result::{Run, Trial},
};

pub(crate) const MS: f64 = 1e6;

/// `xcloud load` with words that hold no spaces.
pub(crate) fn xcloud(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xcloud"));
    command.arg("load").args(words.split_whitespace());
    command
}

/// What a load test found, in its only trial.
pub(crate) fn trial(command: &mut Command) -> Trial {
    let output = command.args(["-o", "json"]).output().expect("the binary runs");
    let mut run = run(&output);
    assert_eq!(run.trials.len(), 1);
    run.trials.remove(0)
}

fn run(output: &Output) -> Run {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    serde_json::from_slice(&output.stdout).expect("a result")
}

/// A figure of a trial.
pub(crate) fn figure(trial: &Trial, name: &str) -> f64 {
    trial.metrics.get(name).unwrap_or_else(|| panic!("no {name} in {trial:#?}")).value
}

/// Figures that are counts.
pub(crate) fn counts<const N: usize>(trial: &Trial, names: [&str; N]) -> [u64; N] {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    names.map(|name| figure(trial, name) as u64)
}

/// A quantile of a distribution, in nanoseconds.
pub(crate) fn quantile(trial: &Trial, name: &str, quantile: f64) -> f64 {
    let values = trial.histograms[name].decode().expect("a histogram");
    values.value_at_quantile(quantile) as f64
}

/// What a reflector does with a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Answer,
    /// As if lost on the way out.
    LoseProbe,
    /// As if lost on the way back.
    LoseAnswer,
    /// The answer comes twice.
    Double,
    /// The answer comes after the next one.
    Swap,
    /// So long on the way out, and so long on the way back.
    Delay(Duration, Duration),
}

/// A reflector in a thread of its own, ended with its owner.
pub(crate) struct Faulty {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Faulty {
    /// `fate` is told how many packets came before, and from where this one comes.
    pub(crate) fn start(
        clock: Clock,
        fate: impl FnMut(u64, SocketAddr) -> Fate + Send + 'static,
    ) -> Self {
        let socket = socket::open("127.0.0.1:0".parse().expect("an address")).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
        let address = socket.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = Some(thread::spawn(move || serve(&socket, clock, fate, &stopped)));
        Self { address, stop, thread }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(
    socket: &std::net::UdpSocket,
    clock: Clock,
    mut fate: impl FnMut(u64, SocketAddr) -> Fate,
    stop: &AtomicBool,
) {
    let limits = Limits { sessions: 100, rate: 1_000_000 };
    let mut reflector = Reflector::new(None, &limits, monotonic_ns());
    let (mut receiver, mut bytes) = (Receiver::new(), vec![0; packet::LARGEST]);
    let (mut came, mut held) = (0, None);
    while !stop.load(Ordering::Relaxed) {
        let Ok(received) = receiver.receive(socket, &mut bytes) else { continue };
        let from = received.from.expect("an address");
        let fate = fate(came, from);
        came += 1;
        let mut arrived_ns = received.monotonic_ns;
        if let Fate::Delay(out, _) = fate {
            thread::sleep(out);
            arrived_ns = monotonic_ns();
        }
        let arrival =
            Arrival { unix_ns: clock.unix_ns(arrived_ns), monotonic_ns: arrived_ns, ttl: None };
        let now = || (clock.unix_ns(monotonic_ns()), error_estimate(Format::Ntp));
        let packet = &mut bytes[..received.length];
        if matches!(fate, Fate::LoseProbe) || !reflector.answer(packet, from, arrival, now) {
            continue;
        }
        match fate {
            Fate::LoseProbe | Fate::LoseAnswer => continue,
            Fate::Swap => {
                held = Some(packet.to_vec());
                continue;
            }
            Fate::Delay(_, back) => thread::sleep(back),
            Fate::Double => drop(socket.send_to(packet, from).expect("sent")),
            Fate::Answer => {}
        }
        socket.send_to(packet, from).expect("sent");
        if let Some(held) = held.take() {
            socket.send_to(&held, from).expect("sent");
        }
    }
}

/// The binary as a reflector, ended with its owner.
pub(crate) struct Own {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Own {
    pub(crate) fn start(flags: &str) -> Self {
        let words = format!("stamp --reflect 127.0.0.1:0 --duration 60s {flags}");
        let mut child = xcloud(&words).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut line = String::new();
        let said = child.stderr.as_mut().expect("piped");
        BufReader::new(said).read_line(&mut line).expect("readable");
        let word = line.split_whitespace().find_map(|word| word.parse().ok());
        Self { child, address: word.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
