//! Several endpoints that probe each other, each a process with a loopback address of its own.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio_stream::{Empty, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};
use xcloud::{
    load::matrix::{
        choose,
        peers::{self, Peer},
    },
    result::Run,
};
use xcloud_proto::{
    common::v1::Site,
    loadtest::v1::{
        self, LoadEndpoint, Network,
        load_test_service_server::{LoadTestService, LoadTestServiceServer},
    },
};

use crate::harness::{Own, counts, figure, xcloud};

/// Lines of a list, on addresses 127.0.0.1, 127.0.0.2 and so on, each in this site.
fn list(sites: &[&str]) -> String {
    let line = |(number, site): (usize, &&str)| {
        let address = format!("127.0.0.{}", number + 1);
        let free = UdpSocket::bind((address.as_str(), 0)).and_then(|socket| socket.local_addr());
        format!("node-{number} {site} {}\n", free.expect("a free port"))
    };
    sites.iter().enumerate().map(line).collect()
}

struct Endpoint {
    child: Option<Child>,
    result: PathBuf,
}

impl Endpoint {
    fn start(folder: &Path, me: &Peer, flags: &str) -> Self {
        let result = folder.join(format!("{}.json", me.name));
        let (name, listen) = (&me.name, me.address);
        let words =
            format!("matrix --me {name} --listen {listen} -i 50ms --every 1s -o json {flags}");
        let child = xcloud(&words)
            .arg("--peers")
            .arg(folder.join("peers"))
            .arg("--result")
            .arg(&result)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        Self { child: Some(child), result }
    }

    /// Its lines and its result, once it has ended.
    fn finish(mut self) -> (Vec<Value>, Run) {
        let child = self.child.take().expect("started");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", output.status);
        let text = String::from_utf8(output.stdout).expect("text");
        let lines =
            text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        (lines, Run::read(&self.result).expect("a result"))
    }

    fn interrupt(&self) {
        let child = self.child.as_ref().expect("started");
        let pid = Pid::from_raw(child.id().try_into().expect("a pid"));
        kill(pid, Signal::SIGINT).expect("it runs");
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn all_pairs_of_sites_are_seen_and_each_probes_its_own_peers() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = list(&["aws/a", "aws/a", "aws/b", "gcp/c", "azure/d"]);
    fs::write(folder.path().join("peers"), &text).expect("writable");
    let all = peers::parse(&text).expect("a list");
    let started: Vec<_> = all
        .iter()
        .map(|me| (me, Endpoint::start(folder.path(), me, "--peers-per-node 1 -d 5s")))
        .collect();
    let mut sites = BTreeSet::new();
    for (me, endpoint) in started {
        let (lines, run) = endpoint.finish();
        let wanted: Vec<_> = choose::peers(&all, &me.name, 1);
        let probed: Vec<_> =
            run.trials.iter().map(|trial| trial.settings["to_node"].clone()).collect();
        assert_eq!(probed, wanted.iter().map(|peer| peer.name.clone()).collect::<Vec<_>>());
        for trial in &run.trials {
            assert_eq!((trial.test.as_str(), &trial.from), ("matrix", &me.site));
            // At the ends not all of them run.
            for second in trial
                .intervals
                .iter()
                .filter(|one| (1..4).contains(&(one.start_ns / 1_000_000_000)))
            {
                assert_eq!(second.metrics["sent"], second.metrics["answered"], "{second:?}");
            }
            let [sent, answered] = counts(trial, ["sent", "answered"]);
            assert!((60..=101).contains(&sent) && answered >= 60, "{sent} {answered}");
            sites.insert(
                [trial.from.clone(), trial.to.clone()].into_iter().collect::<BTreeSet<_>>(),
            );
        }
        let told = lines.iter().filter(|line| line["to_node"] == probed[0].as_str()).count();
        assert!((5..=6).contains(&told), "{told} lines in 5 seconds");
    }
    let pairs = sites.iter().filter(|pair| pair.len() == 2).count();
    assert_eq!(pairs, 6, "{sites:?}");
}

#[test]
fn a_changed_list_changes_who_is_probed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("peers");
    let text = list(&["aws/a"]);
    let me = peers::parse(&text).expect("a list").remove(0);
    let others: Vec<_> = (0..2).map(|_| Own::start("")).collect();
    let line = |name: &str, own: &Own| format!("{name} gcp/b {}\n", own.address);
    fs::write(&path, format!("{text}{}", line("early", &others[0]))).expect("writable");
    let endpoint = Endpoint::start(folder.path(), &me, "");
    thread::sleep(Duration::from_secs(3));
    fs::write(&path, format!("{text}{}", line("late", &others[1]))).expect("writable");
    thread::sleep(Duration::from_secs(3));
    fs::write(&path, "what is no list").expect("writable");
    thread::sleep(Duration::from_secs(3));
    endpoint.interrupt();
    let (_, run) = endpoint.finish();
    let names: Vec<_> = run.trials.iter().map(|trial| trial.settings["to_node"].as_str()).collect();
    assert_eq!(names, ["early", "late"]);
    let [early, late] = [0, 1].map(|index| &run.trials[index]);
    // Until the list is looked at again, and from then on in spite of what is no list.
    let [sent, answered] = counts(early, ["sent", "answered"]);
    assert!((40..120).contains(&sent) && sent == answered, "{sent} {answered}");
    let [sent, answered] = counts(late, ["sent", "answered"]);
    assert!((50..130).contains(&sent) && sent == answered, "{sent} {answered}");
}

#[test]
fn who_does_not_answer_is_told_as_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = list(&["aws/a", "gcp/b"]);
    fs::write(folder.path().join("peers"), &text).expect("writable");
    let me = peers::parse(&text).expect("a list").remove(0);
    let (lines, run) = Endpoint::start(folder.path(), &me, "-d 2s").finish();
    assert!((30..=41).contains(&counts(&run.trials[0], ["sent"])[0]));
    assert_eq!(figure(&run.trials[0], "loss"), 1.0);
    assert!(lines.iter().all(|line| line["metrics"]["answered"] == 0.0), "{lines:?}");
}

/// An aggregator that knows endpoints and nothing else.
struct Aggregator(Vec<LoadEndpoint>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl LoadTestService for Aggregator {
    type WatchLoadTestStream = Empty<Result<v1::WatchLoadTestResponse, Status>>;
    type ExportLoadTestsStream = Empty<Result<v1::ExportLoadTestsResponse, Status>>;

    async fn list_endpoints(
        &self,
        _: Request<v1::ListEndpointsRequest>,
    ) -> Answer<v1::ListEndpointsResponse> {
        Ok(Response::new(v1::ListEndpointsResponse { endpoints: self.0.clone() }))
    }

    async fn create_load_test(
        &self,
        _: Request<v1::CreateLoadTestRequest>,
    ) -> Answer<v1::CreateLoadTestResponse> {
        Err(Status::permission_denied(""))
    }

    async fn watch_load_test(
        &self,
        _: Request<v1::WatchLoadTestRequest>,
    ) -> Answer<Self::WatchLoadTestStream> {
        Err(Status::not_found(""))
    }

    async fn cancel_load_test(
        &self,
        _: Request<v1::CancelLoadTestRequest>,
    ) -> Answer<v1::CancelLoadTestResponse> {
        Err(Status::not_found(""))
    }

    async fn list_load_tests(
        &self,
        _: Request<v1::ListLoadTestsRequest>,
    ) -> Answer<v1::ListLoadTestsResponse> {
        Ok(Response::new(v1::ListLoadTestsResponse::default()))
    }

    async fn export_load_tests(
        &self,
        _: Request<v1::ExportLoadTestsRequest>,
    ) -> Answer<Self::ExportLoadTestsStream> {
        Err(Status::not_found(""))
    }

    async fn compare_load_tests(
        &self,
        _: Request<v1::CompareLoadTestsRequest>,
    ) -> Answer<v1::CompareLoadTestsResponse> {
        Err(Status::not_found(""))
    }
}

/// An aggregator's address; it is there as long as the test.
fn aggregator(endpoints: Vec<LoadEndpoint>) -> SocketAddr {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            send.send(listener.local_addr().expect("bound")).expect("awaited");
            Server::builder()
                .add_service(LoadTestServiceServer::new(Aggregator(endpoints)))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
        })
    });
    receive.recv().expect("it listens")
}

#[test]
fn an_aggregators_endpoints_are_peers() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = UdpSocket::bind("127.0.0.2:0").and_then(|socket| socket.local_addr());
    let port = port.expect("a free port").port();
    let endpoint = |name: &str, last, network: Network| LoadEndpoint {
        name: name.into(),
        site: Some(Site { cloud: "aws".into(), region: "a".into(), ..Site::default() }),
        network: network.into(),
        address: vec![127, 0, 0, last],
        ..LoadEndpoint::default()
    };
    let known = vec![
        endpoint("one", 2, Network::Pod),
        endpoint("other", 3, Network::Pod),
        endpoint("host", 4, Network::Host),
    ];
    let address = aggregator(known);
    let results: Vec<_> = [("one", 2), ("other", 3)]
        .map(|(name, last)| {
            let result = folder.path().join(name);
            let words = format!(
                "matrix --me {name} --listen 127.0.0.{last}:{port} -i 50ms --every 1s -d 3s"
            );
            let child = xcloud(&words)
                .args(["--aggregator", &address.to_string(), "--result"])
                .arg(&result)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the binary runs");
            Endpoint { child: Some(child), result }
        })
        .into_iter()
        .map(|endpoint| endpoint.finish().1)
        .collect();
    for (run, to) in results.iter().zip(["other", "one"]) {
        assert_eq!(run.trials.len(), 1);
        assert_eq!(run.trials[0].settings["to_node"], to);
        assert!(figure(&run.trials[0], "answered") >= 20.0, "{:?}", run.trials[0].metrics);
    }
}

#[test]
fn who_is_not_in_the_list_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("peers");
    fs::write(&path, "a aws/a 127.0.0.1:862\n").expect("writable");
    let output = xcloud("matrix --me b --listen 127.0.0.1:0 --peers")
        .arg(&path)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--me is \"b\", which is not in the list"), "{said}");
}
