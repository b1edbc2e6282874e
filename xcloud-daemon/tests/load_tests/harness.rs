//! Aggregators, endpoints and users as processes, ended with their owners.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tonic::transport::Channel;
use xcloud::{cli::Address, result::Run, wire::connect::lasting};
use xcloud_proto::loadtest::v1::{
    CreateLoadTestRequest, ExportLoadTestsRequest, ListEndpointsRequest, LoadTest, LoadTestSpec,
    LoadTestState, Probes, RequestProtocol, Requests, Throughput, WatchLoadTestRequest,
    endpoint_service_client::EndpointServiceClient,
    load_test_service_client::LoadTestServiceClient, load_test_spec::Kind,
    watch_load_test_response::News,
};

/// Longest wait for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Leave for all that the tests here ask for.
pub(crate) const LEAVE: &str = "--allow-load-tests --load-max-rate 100M";

/// `xcloud` with words that hold no spaces.
pub(crate) fn xcloud(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xcloud"));
    command.args(words.split_whitespace()).env("RUST_LOG", "info");
    command
}

/// A process of ours that talks on standard error.
pub(crate) struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let said = Arc::new(Mutex::new(String::new()));
        // Whoever prints must not be stopped by a full pipe.
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (one, other) = (said.clone(), said.clone());
        thread::spawn(move || listen(BufReader::new(out), &one));
        thread::spawn(move || listen(BufReader::new(err), &other));
        Self { child, said }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("no panic").clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id().cast_signed()), signal).expect("a process");
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a process");
        self.child.wait().expect("it ends");
    }

    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// Waits until it has said this.
    pub(crate) fn await_word(&self, word: &str) {
        until(word, || self.said().contains(word));
    }

    /// Processes that it has started.
    pub(crate) fn children(&self) -> Vec<u32> {
        processes()
            .into_iter()
            .filter(|(_, parent)| *parent == self.id())
            .map(|(id, _)| id)
            .collect()
    }

    /// Waits until it has started one.
    pub(crate) fn await_child(&self) -> u32 {
        let mut found = None;
        until("a child", || {
            found = self.children().first().copied();
            found.is_some()
        });
        found.expect("a child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(lines: impl BufRead, said: &Mutex<String>) {
    for line in lines.lines().map_while(Result::ok) {
        *said.lock().expect("no panic") += &(line + "\n");
    }
}

/// Processes that live, with their parents.
fn processes() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").expect("Linux");
    entries
        .filter_map(|entry| {
            let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let mut fields = stat.rsplit_once(") ")?.1.split(' ');
            let state = fields.next()?;
            let parent = fields.next()?.parse().ok()?;
            // One that is dead and not yet buried does nothing any more.
            (!matches!(state, "Z" | "X")).then_some((id, parent))
        })
        .collect()
}

/// Whether a process lives.
pub(crate) fn lives(id: u32) -> bool {
    processes().iter().any(|(one, _)| *one == id)
}

/// Waits for something that has to come.
pub(crate) fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let late = Instant::now() + PATIENCE;
    while !seen() {
        assert!(Instant::now() < late, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// An aggregator and what its users do with it.
pub(crate) struct Aggregator {
    pub(crate) process: Process,
    pub(crate) address: Address,
}

impl Aggregator {
    pub(crate) fn start(flags: &str) -> Self {
        Self::start_at("127.0.0.1:0", flags)
    }

    pub(crate) fn start_at(address: &str, flags: &str) -> Self {
        let process =
            Process::start(&mut xcloud(&format!("aggregator --listen {address} {flags}")));
        let mut address = None;
        until("an aggregator that listens", || {
            let said = process.said();
            address = said.split_once("listening on ").and_then(|(_, rest)| {
                rest.split([';', '\n']).next().and_then(|address| address.parse().ok())
            });
            address.is_some()
        });
        Self { process, address: address.expect("an address") }
    }

    async fn channel(&self) -> Channel {
        lasting(&self.address).await.expect("the aggregator answers")
    }

    pub(crate) async fn client(&self) -> LoadTestServiceClient<Channel> {
        LoadTestServiceClient::new(self.channel().await)
    }

    pub(crate) async fn attendance(&self) -> EndpointServiceClient<Channel> {
        EndpointServiceClient::new(self.channel().await)
    }

    /// Endpoints of these names on nodes of their own, once they attend.
    pub(crate) async fn endpoints<const N: usize>(&self, names: [&str; N]) -> [Process; N] {
        let all = names.map(|name| self.endpoint(name, ""));
        self.await_endpoints(&names).await;
        all
    }

    /// An endpoint that may not attend yet; without other flags one of a node.
    pub(crate) fn endpoint(&self, name: &str, flags: &str) -> Process {
        let flags = if flags.is_empty() { "--network host" } else { flags };
        let cloud = if name.starts_with('b') {
            "gcp --region us-central1"
        } else {
            "aws --region us-east-1"
        };
        Process::start(&mut xcloud(&format!(
            "load endpoint --aggregator {} --name {name} --node node-{name} --address 127.0.0.1 --cloud {cloud} \
             {flags}",
            self.address
        )))
    }

    /// Waits until these attend.
    pub(crate) async fn await_endpoints(&self, names: &[&str]) {
        let late = Instant::now() + PATIENCE;
        let mut client = self.client().await;
        loop {
            let all = client.list_endpoints(ListEndpointsRequest {}).await.expect("allowed");
            let all = all.into_inner().endpoints;
            if names.iter().all(|name| all.iter().any(|one| one.name == *name)) {
                return;
            }
            assert!(Instant::now() < late, "{names:?} do not all attend");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts a test, or says why not.
    pub(crate) async fn create(&self, spec: LoadTestSpec) -> Result<LoadTest, tonic::Status> {
        let request = CreateLoadTestRequest { spec: Some(spec), validate_only: false };
        let answer = self.client().await.create_load_test(request).await?;
        Ok(answer.into_inner().test.expect("a test"))
    }

    /// Waits until load is sent.
    pub(crate) async fn await_running(&self, id: &str) {
        self.watch(id, |test| test.state() == LoadTestState::Running).await;
    }

    /// A test once it has ended.
    pub(crate) async fn end_of(&self, id: &str) -> LoadTest {
        self.watch(id, |test| test.ended.is_some()).await
    }

    async fn watch(&self, id: &str, wanted: impl Fn(&LoadTest) -> bool) -> LoadTest {
        let request = WatchLoadTestRequest { id: id.into() };
        let news = self.client().await.watch_load_test(request).await.expect("a known test");
        let mut news = news.into_inner();
        let look = async {
            while let Some(told) = news.message().await.expect("news") {
                if let Some(News::Test(test)) = told.news
                    && (wanted(&test) || test.ended.is_some())
                {
                    return test;
                }
            }
            panic!("{id} ended without a word");
        };
        tokio::time::timeout(PATIENCE, look).await.expect("news in time")
    }

    /// Makes a test that has to go well.
    pub(crate) async fn make(&self, spec: LoadTestSpec) -> LoadTest {
        let test = self.create(spec).await.expect("allowed");
        let test = self.end_of(&test.id).await;
        assert_eq!((test.state(), &*test.error), (LoadTestState::Done, ""), "{test:?}");
        assert!(test.has_result);
        test
    }

    /// Results as one run.
    pub(crate) async fn export(&self, ids: &[&str]) -> Result<Run, tonic::Status> {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let request = ExportLoadTestsRequest { ids, label: "all".into() };
        let mut chunks = self.client().await.export_load_tests(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(part) = chunks.message().await? {
            bytes.extend(part.chunk);
        }
        Ok(Run::parse(&bytes, "an export").expect("a run"))
    }

    /// What `xcloud load …` says when it asks this aggregator.
    pub(crate) fn ask(&self, words: &str) -> Output {
        let (command, rest) = words.split_once(' ').unwrap_or((words, ""));
        let mut command = xcloud(&format!("load {command} --aggregator {} {rest}", self.address));
        command.output().expect("the binary runs")
    }
}

/// A test from `a` to `b`.
pub(crate) fn spec(kind: Kind, seconds: i64) -> LoadTestSpec {
    LoadTestSpec {
        from: "a".into(),
        to: "b".into(),
        duration: Some(prost_types::Duration { seconds, nanos: 0 }),
        name: String::new(),
        kind: Some(kind),
    }
}

pub(crate) fn throughput() -> Kind {
    Kind::Throughput(Throughput { bits_per_second: 20_000_000, ..Throughput::default() })
}

pub(crate) fn requests(protocol: RequestProtocol) -> Kind {
    Kind::Requests(Requests {
        protocol: protocol.into(),
        requests_per_second: 200,
        connections: 2,
        request_bytes: u32::from(protocol != RequestProtocol::Http),
        response_bytes: 100,
        threads: 1,
        max_requests: 0,
    })
}

pub(crate) fn stamp() -> Kind {
    Kind::Probes(Probes::default())
}
