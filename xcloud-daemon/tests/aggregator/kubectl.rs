//! `kubectl xcloud` through an API server that knows two things: listing pods, and forwarding a port by WebSocket as
//! Kubernetes does, here to a real aggregator on this machine.

use std::{net::SocketAddr, os::unix::fs::symlink, path::Path, process::Output};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

use crate::{harness::Server, services::two_clouds};

const PORT: u16 = 7171;

/// What the API server has to say.
#[derive(Clone)]
struct Api {
    aggregator: SocketAddr,
    status: &'static str,
    pods: serde_json::Value,
}

impl Api {
    fn with(aggregator: SocketAddr, ready: &str) -> Self {
        let pod = serde_json::json!({
            "metadata": {"name": "aggregator-0", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [
                {"name": "a", "ports": [{"name": "grpc", "containerPort": PORT}]}
            ]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        });
        let pods = serde_json::json!({
            "apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [pod],
        });
        Self { aggregator, status: "200 OK", pods }
    }

    fn refusing(aggregator: SocketAddr) -> Self {
        let pods = serde_json::json!({
            "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 403,
            "reason": "Forbidden", "message": "pods is forbidden: User \"a\x1b[31m\" cannot list",
        });
        Self { aggregator, status: "403 Forbidden", pods }
    }

    /// Serves; returns where.
    async fn start(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().answer(stream));
            }
        });
        address
    }

    async fn answer(self, mut stream: TcpStream) {
        let mut head = [0; 512];
        let read = stream.peek(&mut head).await.expect("a request");
        let request = String::from_utf8_lossy(&head[..read]).into_owned();
        if request.starts_with("GET /api/v1/namespaces/there/pods/aggregator-0/portforward") {
            forward(stream, self.aggregator).await;
            return;
        }
        assert!(request.starts_with("GET /api/v1/namespaces/there/pods?"), "{request}");
        assert!(request.contains("component%3Daggregator"), "{request}");
        let _ = stream.read(&mut [0; 4096]).await;
        let body = self.pods.to_string();
        let head = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            self.status,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.expect("a reader");
    }
}

#[expect(clippy::result_large_err, reason = "the callback's type is given")]
fn protocol(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let name = "v4.channel.k8s.io".parse().expect("a header");
    response.headers_mut().insert("sec-websocket-protocol", name);
    Ok(response)
}

/// Carries bytes of channel 0; both channels open with the port's number.
async fn forward(stream: TcpStream, aggregator: SocketAddr) {
    let mut socket = accept_hdr_async(stream, protocol).await.expect("a handshake");
    let mut there = TcpStream::connect(aggregator).await.expect("the aggregator listens");
    for channel in [0, 1] {
        let [low, high] = PORT.to_le_bytes();
        socket.send(Message::binary(vec![channel, low, high])).await.expect("a reader");
    }
    let mut bytes = [0; 16 << 10];
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(data))) if data.first() == Some(&0) => {
                    if there.write_all(&data[1..]).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            read = there.read(&mut bytes) => match read {
                Ok(length @ 1..) => {
                    let data = [&[0], &bytes[..length]].concat();
                    if socket.send(Message::binary(data)).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}

/// The plugin, with a kubeconfig that names an API server.
async fn plugin(folder: &Path, api: SocketAddr, words: &str) -> Output {
    let program = folder.join("kubectl-xcloud");
    let _ = symlink(env!("CARGO_BIN_EXE_xcloud"), &program);
    let config = folder.join("config");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: c, cluster: {{server: 'http://{api}'}}}}]\n\
         contexts: [{{name: here, context: {{cluster: c, user: u}}}}]\n\
         users: [{{name: u, user: {{}}}}]\n"
    );
    std::fs::write(&config, text).expect("writable");
    let mut command = Command::new(program);
    command.args(words.split_whitespace()).env("KUBECONFIG", config).env("TMPDIR", folder);
    command.env_remove("XCLOUD_AGGREGATOR").output().await.expect("the plugin runs")
}

#[tokio::test]
async fn the_plugin_asks_the_aggregator_through_the_api_server() {
    let server = Server::start().await;
    let _agents = two_clouds(&server).await;
    let api = Api::with(server.socket(), "True").start().await;
    let folder = tempfile::tempdir().expect("a folder");
    for (words, shows) in [
        ("-n there split", "aws a -> gcp b: ack, 20 exchanges"),
        ("--namespace there top --once", "aws a -> gcp b"),
        ("-n there nodes -o json", "\"agent\": \"gcp-b\""),
    ] {
        let output = plugin(folder.path(), api, words).await;
        let said =
            String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        assert!(said.contains(shows), "{words}: {said}");
    }
    let wrong = plugin(folder.path(), api, "-n there split --quantile 0.2").await;
    assert_eq!(wrong.status.code(), Some(2), "the command's own exit code");
    let left = std::fs::read_dir(folder.path()).expect("readable").count();
    assert_eq!(left, 2, "the program and the kubeconfig are left, no socket");
    server.stop().await;
}

#[tokio::test]
async fn the_plugin_says_why_there_is_no_way() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let unready = Api::with(server.socket(), "False").start().await;
    let refusing = Api::refusing(server.socket()).start().await;
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    for (api, words, code, says) in [
        (
            unready,
            "-n there split",
            1,
            "no aggregator in namespace there of context \"here\": pod aggregator-0",
        ),
        (
            refusing,
            "-n there split",
            1,
            "User \"a\\x1b[31m\" cannot list; you need leave to list pods",
        ),
        (nobody, "-n there split", 1, "Connection refused"),
        (nobody, "--context other split", 1, "context \"other\" of the kubeconfig"),
        (nobody, "--kubeconfig /nowhere split", 1, "name a kubeconfig with --kubeconfig"),
        (nobody, "agent", 2, "\"agent\" asks no aggregator in a cluster"),
        (nobody, "split --aggregator 1.2.3.4:5", 2, "finds the aggregator itself"),
    ] {
        let output = plugin(folder.path(), api, words).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(says), "{words}: {said}");
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(code), &b""[..]), "{said}");
    }
    let help = plugin(folder.path(), nobody, "split --help").await;
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--quantile"));
    server.stop().await;
}
