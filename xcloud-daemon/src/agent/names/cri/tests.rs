//! The runtime as it is asked, on a Unix socket.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::IpAddr,
    sync::{Mutex, MutexGuard},
    task::{Context as TaskContext, Poll},
};

use futures_util::future::BoxFuture;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    Response, Status,
    body::Body,
    server::{Grpc as GrpcServer, NamedService, UnaryService},
    transport::Server,
};

use super::{
    messages::{LinuxStatus, Metadata, Namespaces, Network, Options, PodIp},
    *,
};
use crate::agent::clock::Pretend;

pub(in crate::agent::names) fn sandbox(id: &str, pod: &str, labels: &[(&str, &str)]) -> PodSandbox {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let uid = format!("uid of {pod}");
    PodSandbox {
        id: id.into(),
        metadata: Some(Metadata { name: pod.into(), uid, namespace: "shop".into() }),
        labels: labels.collect::<HashMap<_, _>>(),
        ..PodSandbox::default()
    }
}

#[test]
fn a_sandbox_has_all_its_addresses_unless_they_are_the_nodes() {
    let sandbox = sandbox("1", "db-0", &[("statefulset.kubernetes.io/pod-name", "db-0")]);
    let network = Network {
        ip: "10.0.0.1".into(),
        additional_ips: vec![PodIp { ip: "fd00::1".into() }, PodIp { ip: "odd".into() }],
    };
    let mut status = PodSandboxStatus { network: Some(network), linux: None };
    let of = |learnt| match learnt {
        Learnt::Pod { addresses, workload, .. } => (addresses, workload),
        other => panic!("{other:?}"),
    };
    let read = |sandbox, status: &_| read(sandbox, status, Instant::now(), None);
    let (addresses, workload) = of(read(sandbox.clone(), &status));
    assert_eq!(addresses.len(), 2);
    assert_eq!((&workload.kind[..], &workload.name[..]), ("StatefulSet", "db"));
    let options = Some(Options { network: NODE_NETWORK });
    status.linux = Some(LinuxStatus { namespaces: Some(Namespaces { options }) });
    assert_eq!(of(read(sandbox, &status)).0, Vec::<IpAddr>::new());
}

/// A runtime with these sandboxes, each at an address.
#[derive(Clone, Default)]
pub(in crate::agent::names) struct Sandboxes(Arc<Mutex<Vec<(PodSandbox, String)>>>);

impl Sandboxes {
    /// Answers at a socket for as long as what is returned lives.
    pub(in crate::agent::names) fn serve(&self, socket: &Path) -> AbortOnDropHandle<()> {
        let incoming = UnixListenerStream::new(UnixListener::bind(socket).expect("bound"));
        let serving = Server::builder().add_service(self.clone()).serve_with_incoming(incoming);
        AbortOnDropHandle::new(tokio::spawn(async { serving.await.expect("serves") }))
    }

    pub(in crate::agent::names) fn all(&self) -> MutexGuard<'_, Vec<(PodSandbox, String)>> {
        self.0.lock().expect("sound")
    }
}

impl UnaryService<ListPodSandboxRequest> for Sandboxes {
    type Response = ListPodSandboxResponse;
    type Future = BoxFuture<'static, Result<Response<Self::Response>, Status>>;

    fn call(&mut self, _: Request<ListPodSandboxRequest>) -> Self::Future {
        let items = self.all().iter().map(|(one, _)| one.clone()).collect();
        Box::pin(async { Ok(Response::new(ListPodSandboxResponse { items })) })
    }
}

impl UnaryService<PodSandboxStatusRequest> for Sandboxes {
    type Response = PodSandboxStatusResponse;
    type Future = BoxFuture<'static, Result<Response<Self::Response>, Status>>;

    fn call(&mut self, request: Request<PodSandboxStatusRequest>) -> Self::Future {
        let id = request.into_inner().pod_sandbox_id;
        let all = self.all();
        let found = all.iter().find(|(one, _)| one.id == id).map(|(_, ip)| ip.clone());
        Box::pin(async {
            let ip = found.ok_or_else(|| Status::not_found("no such sandbox"))?;
            let network = Some(Network { ip, additional_ips: vec![] });
            let status = Some(PodSandboxStatus { network, linux: None });
            Ok(Response::new(PodSandboxStatusResponse { status }))
        })
    }
}

impl NamedService for Sandboxes {
    const NAME: &'static str = "runtime.v1.RuntimeService";
}

impl tower::Service<http::Request<Body>> for Sandboxes {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let answer = if request.uri().path().ends_with("/ListPodSandbox") {
                let codec = ProstCodec::<ListPodSandboxResponse, ListPodSandboxRequest>::default();
                GrpcServer::new(codec).unary(this, request).await
            } else {
                let codec =
                    ProstCodec::<PodSandboxStatusResponse, PodSandboxStatusRequest>::default();
                GrpcServer::new(codec).unary(this, request).await
            };
            Ok(answer)
        })
    }
}

#[tokio::test]
async fn sandboxes_are_learnt_as_they_come_and_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("cri.sock");
    let sandboxes = Sandboxes::default();
    let deployment = [("pod-template-hash", "5f6d8c")];
    let gone = PodSandbox { state: 1, ..sandbox("2", "old", &[]) };
    sandboxes.all().extend([
        (sandbox("1", "cart-5f6d8c-a", &deployment), "10.0.0.1".to_owned()),
        (gone, "10.0.0.2".to_owned()),
    ]);
    let _serving = sandboxes.serve(&socket);
    let names = Names::new(Pretend::new(0, 0.0, 0)).expect("a clock");
    let of = Arc::clone(&names);
    let asking = async move { ask_for_ever(&socket, &of).await.map(|_| ()) };
    let _asking = AbortOnDropHandle::new(tokio::spawn(asking));
    let told = async |wanted: &[&[u8]]| {
        let waited = async {
            while names.addresses() != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(20), waited)
            .await
            .unwrap_or_else(|_| panic!("{:?}, not {wanted:?}", names.addresses()));
    };
    told(&[&[10, 0, 0, 1]]).await;
    let new = (sandbox("3", "debug", &[]), "10.0.0.3".to_owned());
    sandboxes.all().push(new);
    told(&[&[10, 0, 0, 1], &[10, 0, 0, 3]]).await;
    sandboxes.all().remove(0);
    told(&[&[10, 0, 0, 3]]).await;
}
