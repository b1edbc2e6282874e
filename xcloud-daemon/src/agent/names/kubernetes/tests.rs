//! The watch against a server that speaks as much of the API as the agent asks for, on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Mutex,
    time::SystemTime,
};

use super::{
    super::tests::{SOON, named, with_interfaces},
    *,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::broadcast,
    task::JoinSet,
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

/// The API: pods, a stream of changes, and what owns ReplicaSets.
#[derive(Clone)]
pub(in crate::agent::names) struct Server {
    pub(in crate::agent::names) pods: Arc<Mutex<Vec<Value>>>,
    owner: Arc<Mutex<Option<Value>>>,
    changes: broadcast::Sender<String>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(in crate::agent::names) fn new(pods: Vec<Value>, owner: Option<Value>) -> Self {
        Self {
            pods: Arc::new(Mutex::new(pods)),
            owner: Arc::new(Mutex::new(owner)),
            changes: broadcast::Sender::new(64),
            asked: Arc::default(),
        }
    }

    /// Answers until it is dropped, and hangs up on everybody then.
    pub(in crate::agent::names) async fn serve(self, listener: TcpListener) {
        let mut answering = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            answering.spawn(self.clone().answer(stream));
        }
    }

    async fn answer(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        self.asked.lock().expect("sound").push(path.clone());
        if path.contains("watch=true") {
            let mut changes = self.changes.subscribe();
            stream
                .write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
                )
                .await?;
            while let Ok(line) = changes.recv().await {
                stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await?;
            }
            return Ok(());
        }
        let owner = self.owner.lock().expect("sound").clone();
        let (status, body) = match (&path[..], owner) {
            (path, _) if path.starts_with("/api/v1/pods") => {
                let items = self.pods.lock().expect("sound").clone();
                let metadata = json!({"resourceVersion": "1"});
                let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items});
                ("200 OK", list)
            }
            (path, Some(owner)) if path.contains("/replicasets/") => ("200 OK", owner),
            _ => (
                "403 Forbidden",
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                       "reason": "Forbidden", "message": "no"}),
            ),
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await
    }

    fn tell(&self, kind: &str, pod: Value) {
        let line = json!({"type": kind, "object": pod}).to_string() + "\n";
        self.changes.send(line).expect("somebody watches");
    }

    /// How often it was asked for owners.
    fn asked_for_owners(&self) -> usize {
        let asked = self.asked.lock().expect("sound");
        asked.iter().filter(|path| path.contains("/replicasets/")).count()
    }
}

/// How long until owners are asked for again, here.
const AGAIN: Duration = Duration::from_millis(500);

/// A client of the API at an address.
pub(in crate::agent::names) fn client_of(address: SocketAddr) -> Client {
    let config = Config::new(format!("http://{address}").parse().expect("an address"));
    client(config).expect("a client")
}

/// What owns the ReplicaSet of [`pod`].
pub(in crate::agent::names) fn rollout() -> Value {
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {"name": "cart-5f6d8c", "namespace": "shop", "ownerReferences": [{
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "cart", "uid": "r", "controller": true,
        }]},
    })
}

pub(in crate::agent::names) fn pod(name: &str, ip: &str) -> Value {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid of {name}"), "resourceVersion": "2",
            "creationTimestamp": now, "labels": {"pod-template-hash": "5f6d8c"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-5f6d8c", "uid": "uid of rs", "controller": true,
            }],
        },
        "spec": {"nodeName": "n1", "containers": []},
        "status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "containerStatuses": [{"state": {"running": {"startedAt": now}}}],
        },
    })
}

/// A running agent's names, and the server they come from.
struct Scene {
    names: Arc<Names>,
    server: Server,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Scene {
    async fn begin(pods: Vec<Value>, owner: Option<Value>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = Server::new(pods, owner);
        let serving = tokio::spawn(server.clone().serve(listener));
        let names = with_interfaces(&[7, 8]);
        let (of, client) = (Arc::clone(&names), client_of(address));
        let answering = watch::Sender::new(false);
        let following =
            tokio::spawn(async move { follow(client, "n1", &of, &answering, AGAIN).await });
        let tasks = [serving, following].map(AbortOnDropHandle::new);
        Self { names, server, _tasks: tasks }
    }

    /// Waits until a packet of now is named so.
    async fn named(&self, index: u32, ip: &str, wanted: Option<&str>) {
        named(&self.names, index, ip, wanted).await;
    }

    /// Waits until the watch is open.
    async fn watched(&self) {
        let waited = async {
            while self.server.changes.receiver_count() == 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, waited).await.expect("it watches");
    }
}

#[tokio::test]
async fn pods_are_named_as_they_come_and_go() {
    let scene = Scene::begin(vec![pod("cart-5f6d8c-a", "10.0.0.1")], Some(rollout())).await;
    scene.named(7, "10.0.0.1", Some("shop/Rollout/cart/cart-5f6d8c-a")).await;
    scene.watched().await;
    scene.server.tell("ADDED", pod("cart-5f6d8c-b", "10.0.0.2"));
    scene.named(8, "10.0.0.2", Some("shop/Rollout/cart/cart-5f6d8c-b")).await;
    scene.server.tell("DELETED", pod("cart-5f6d8c-a", "10.0.0.1"));
    scene.named(7, "10.0.0.1", None).await;
    let asked = scene.server.asked.lock().expect("sound").clone();
    assert_eq!(scene.server.asked_for_owners(), 1, "{asked:?}");
    let list = asked.iter().find(|path| path.starts_with("/api/v1/pods")).expect("a list");
    assert!(list.contains("fieldSelector=spec.nodeName%3Dn1"), "{list}");
}

#[tokio::test]
async fn without_the_right_to_ask_for_owners_names_go_by_labels() {
    let scene = Scene::begin(vec![pod("cart-5f6d8c-a", "10.0.0.1")], None).await;
    scene.named(7, "10.0.0.1", Some("shop/Deployment/cart/cart-5f6d8c-a")).await;
}

#[tokio::test]
async fn owners_that_could_not_be_had_are_asked_for_again_now_and_then() {
    let pods = (1..=9).map(|n| pod(&format!("cart-5f6d8c-{n}"), &format!("10.0.0.{n}"))).collect();
    let begun = Instant::now();
    let scene = Scene::begin(pods, None).await;
    scene.named(7, "10.0.0.1", Some("shop/Deployment/cart/cart-5f6d8c-1")).await;
    scene.watched().await;
    // Changes of pods make no difference.
    for _ in 0..3 {
        scene.server.tell("MODIFIED", pod("cart-5f6d8c-2", "10.0.0.2"));
        sleep(AGAIN).await;
    }
    let asked = scene.server.asked_for_owners();
    // One that is gone by then does not come back.
    scene.server.tell("DELETED", pod("cart-5f6d8c-3", "10.0.0.3"));
    scene.named(8, "10.0.0.3", None).await;
    let least = AGAIN * u32::try_from(asked.saturating_sub(2)).expect("few");
    assert!(asked > 1 && begun.elapsed() >= least, "{asked} times in {:?}", begun.elapsed());
    *scene.server.owner.lock().expect("sound") = Some(rollout());
    scene.named(7, "10.0.0.1", Some("shop/Rollout/cart/cart-5f6d8c-1")).await;
    scene.named(7, "10.0.0.2", Some("shop/Rollout/cart/cart-5f6d8c-2")).await;
    scene.named(8, "10.0.0.3", None).await;
    let asked = scene.server.asked_for_owners();
    sleep(2 * AGAIN).await;
    assert_eq!(scene.server.asked_for_owners(), asked, "what was told is asked for no more");
}

#[tokio::test]
async fn a_watch_that_breaks_begins_again_with_what_there_is() {
    let scene = Scene::begin(vec![pod("cart-5f6d8c-a", "10.0.0.1")], None).await;
    scene.named(7, "10.0.0.1", Some("shop/Deployment/cart/cart-5f6d8c-a")).await;
    scene.watched().await;
    *scene.server.pods.lock().expect("sound") = vec![pod("cart-5f6d8c-b", "10.0.0.2")];
    let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                      "reason": "Expired", "message": "too old resource version"});
    scene.server.tell("ERROR", gone);
    scene.named(8, "10.0.0.2", Some("shop/Deployment/cart/cart-5f6d8c-b")).await;
    scene.named(7, "10.0.0.1", None).await;
}

/// Against a real API server, when `KUBECONFIG` names one: what it lists is read, and its answer to the watch too.
#[tokio::test]
async fn a_real_api_server_is_understood() {
    let Some(path) = std::env::var_os("KUBECONFIG") else {
        eprintln!("skipped: KUBECONFIG names no API server");
        return;
    };
    let file = Kubeconfig::read_from(path).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let client = client(config.expect("usable")).expect("a client");
    let pods: Api<ApiPod> = Api::all_with(client, &resource("", "Pod", "pods"));
    let mut events = pin!(watcher(pods, watcher::Config::default().any_semantic()));
    let listed = async {
        while let Some(event) = events.next().await {
            if matches!(event.expect("an event"), watcher::Event::InitDone) {
                return;
            }
        }
    };
    timeout(SOON, listed).await.expect("it lists its pods");
}
