//! The aggregator as a process, and callers of it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tonic::{Status, transport::Channel};
use xcloud::{
    access::caller::Caller,
    cli::{Address, access::TlsArgs},
    wire::connect::channel_as,
};
use xcloud_proto::observer::v1::{
    GetServerStatusRequest, observer_service_client::ObserverServiceClient,
};

use crate::authority::{Authority, NOW, Secret};

/// Longest wait for anything, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Who may do what here.
pub(crate) const ROLES: &str = "--role agent=spiffe://test/agent --role endpoint=spiffe://test/endpoint \
    --role collector=dns:collector.test --role operator=spiffe://test/ops/*";
/// Names that have the roles.
pub(crate) const AGENT: &str = "spiffe://test/agent";
pub(crate) const ENDPOINT: &str = "spiffe://test/endpoint";
pub(crate) const COLLECTOR: &str = "collector.test";
pub(crate) const OPERATOR: &str = "spiffe://test/ops/ann";
/// Names of the aggregator.
pub(crate) const AGGREGATOR: [&str; 3] = ["localhost", "127.0.0.1", "spiffe://test/aggregator"];

/// `xcloud` with words that hold no spaces.
pub(crate) fn xcloud(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xcloud"));
    command.args(words.split_whitespace()).env("RUST_LOG", "info").stdin(Stdio::null());
    command
}

/// `xcloud aggregator` on a free port of this machine.
pub(crate) fn aggregator(flags: &str) -> Command {
    xcloud(&format!("aggregator --listen 127.0.0.1:0 {flags}"))
}

/// Runs `xcloud` to its end.
pub(crate) fn run(words: &str) -> Output {
    xcloud(words).output().expect("the binary runs")
}

/// An aggregator, ended when dropped.
pub(crate) struct Aggregator {
    child: Child,
    said: Arc<Mutex<String>>,
    pub(crate) address: SocketAddr,
    /// Its files, which it looks at all the time.
    secret: Option<Secret>,
}

impl Aggregator {
    /// Starts one on a free port of this machine.
    pub(crate) fn start(flags: &str) -> Self {
        Self::of(&mut aggregator(flags))
    }

    /// Starts this one.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, into) = (BufReader::new(child.stderr.take().expect("piped")), said.clone());
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *into.lock().expect("no panic") += &(line + "\n");
            }
        });
        let mut one = Self { child, said, address: ([127, 0, 0, 1], 0).into(), secret: None };
        one.await_word("listening on ");
        let said = one.said();
        let name = said.split("listening on ").nth(1).and_then(|rest| rest.split(';').next());
        one.address = name.expect("an address").parse().expect("an address");
        one
    }

    /// Starts one with certificates and roles.
    pub(crate) fn with_tls(secret: &Secret, flags: &str) -> Self {
        Self::start(&format!("{} {ROLES} {flags}", secret.flags()))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("no panic").clone()
    }

    /// How many lines it said with this word in them.
    pub(crate) fn lines_with(&self, word: &str) -> usize {
        self.said().lines().filter(|line| line.contains(word)).count()
    }

    pub(crate) fn await_word(&mut self, word: &str) {
        let late = Instant::now() + PATIENCE;
        while !self.said().contains(word) {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "it ended: {ended:?}: {}", self.said());
            assert!(Instant::now() < late, "waited in vain for {word:?}: {}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Memory that it holds, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a figure");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Aggregator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority, and an aggregator that it vouches for.
pub(crate) fn secured(flags: &str) -> (Authority, Aggregator) {
    let authority = Authority::new();
    let secret = Secret::new(&authority.issue(&AGGREGATOR, NOW), authority.pem());
    let mut aggregator = Aggregator::with_tls(&secret, flags);
    aggregator.secret = Some(secret);
    (authority, aggregator)
}

/// Somebody with a certificate.
pub(crate) fn caller(args: &TlsArgs) -> Caller {
    Caller::new(args).expect("certificates")
}

/// A connection of theirs.
pub(crate) async fn connect(caller: &Caller, address: SocketAddr) -> Result<Channel, String> {
    let channel = channel_as(caller, &Address::Tcp(address), |endpoint| endpoint).await;
    channel.map_err(|error| chain(&error))
}

/// An error with all its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text += &format!(": {one}");
        cause = one.source();
    }
    text
}

/// Asks something that any collector may.
pub(crate) async fn ask(channel: Channel) -> Result<(), Status> {
    let mut observer = ObserverServiceClient::new(channel);
    observer.get_server_status(GetServerStatusRequest {}).await.map(drop)
}
