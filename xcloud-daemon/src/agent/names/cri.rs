//! Pods of this node from the container runtime, by the Container Runtime Interface (runtime.v1): looked at again and
//! again, since it tells of no changes by itself.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use http::uri::PathAndQuery;
use log::{debug, info, warn};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::{Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

pub mod messages;

use messages::{
    ListPodSandboxRequest, ListPodSandboxResponse, NODE_NETWORK, PodSandbox, PodSandboxStatus,
    PodSandboxStatusRequest, PodSandboxStatusResponse, READY,
};

use super::{Learnt, Names, ago, workload};
use crate::{
    cli::{Address, names::NamesArgs},
    wire::connect,
};

/// Where runtimes listen if nothing else is said.
const SOCKETS: [&str; 3] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
];
/// How often it is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const WITHIN: Duration = Duration::from_secs(5);
/// How long to wait after it could not be asked.
const PAUSE: Duration = Duration::from_secs(10);
/// Longest answer: thousands of sandboxes with their labels.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Learns the pods of this node for as long as there is a runtime to ask; returns at once when there is none.
pub async fn follow(args: &NamesArgs, names: &Names) {
    let given = args.cri_socket.as_deref();
    if given == Some(Path::new("off")) {
        return;
    }
    let found = SOCKETS.iter().map(Path::new).find(|path| path.exists());
    let Some(socket) = given.or(found) else {
        info!(
            "names: neither Kubernetes' API nor a container runtime is known, so pods have no names"
        );
        return;
    };
    let mut told = false;
    loop {
        let error = match ask_for_ever(socket, names).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        // A runtime that was found and is not Kubernetes', such as Docker's, does not know the question.
        if given.is_none() && error.downcast_ref().is_some_and(unknown_there) {
            info!("names: {} knows no pods, so pods have no names", socket.display());
            return;
        }
        if !std::mem::replace(&mut told, true) {
            warn!("names: {error:#}; new pods are not named until it answers again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn unknown_there(status: &tonic::Status) -> bool {
    status.code() == tonic::Code::Unimplemented
}

async fn ask_for_ever(socket: &Path, names: &Names) -> Result<std::convert::Infallible> {
    let mut runtime = Runtime::connect(socket).await?;
    let mut known = HashSet::new();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        ticks.tick().await;
        for pod in runtime.look(&mut known).await? {
            names.learn(pod);
        }
        names.learn(Learnt::Only(known.clone()));
        if std::mem::take(&mut first) {
            info!("names: {} pods as the runtime at {} tells them", known.len(), socket.display());
        }
    }
}

/// A runtime that listens.
struct Runtime {
    grpc: Grpc<Channel>,
    socket: PathBuf,
}

impl Runtime {
    async fn connect(socket: &Path) -> Result<Self> {
        let address = Address::Unix(socket.into());
        let channel = connect::lasting(&address).await;
        let channel = channel.with_context(|| {
            format!("connecting to the container runtime at {}", socket.display())
        })?;
        let grpc = Grpc::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(Self { grpc, socket: socket.into() })
    }

    /// Brings the ids of sandboxes that are known and ready up to date; returns what is new.
    async fn look(&mut self, known: &mut HashSet<String>) -> Result<Vec<Learnt>> {
        let listed: ListPodSandboxResponse =
            self.call("ListPodSandbox", ListPodSandboxRequest::default()).await?;
        let ready: Vec<PodSandbox> =
            listed.items.into_iter().filter(|one| one.state == READY).collect();
        known.retain(|id| ready.iter().any(|one| one.id == *id));
        let mut new = Vec::new();
        for sandbox in ready {
            if known.contains(&sandbox.id) {
                continue;
            }
            let question = PodSandboxStatusRequest { pod_sandbox_id: sandbox.id.clone() };
            match self.call("PodSandboxStatus", question).await {
                Ok(PodSandboxStatusResponse { status }) => {
                    known.insert(sandbox.id.clone());
                    new.push(read(sandbox, &status.unwrap_or_default()));
                }
                // It may have gone meanwhile.
                Err(error) => debug!("sandbox {}: {error:#}", sandbox.id),
            }
        }
        Ok(new)
    }

    async fn call<Question, Answer>(&mut self, method: &str, question: Question) -> Result<Answer>
    where
        Question: prost::Message + 'static,
        Answer: prost::Message + Default + 'static,
    {
        let asking =
            || format!("asking the container runtime at {} ({method})", self.socket.display());
        let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}"))?;
        let grpc = &mut self.grpc;
        let call = async move {
            grpc.ready().await.map_err(|error| tonic::Status::from_error(Box::new(error)))?;
            grpc.unary(Request::new(question), path, ProstCodec::<Question, Answer>::default())
                .await
        };
        let answer = timeout(WITHIN, call).await.with_context(asking)?.with_context(asking)?;
        Ok(answer.into_inner())
    }
}

fn read(sandbox: PodSandbox, status: &PodSandboxStatus) -> Learnt {
    let metadata = sandbox.metadata.unwrap_or_default();
    let network = status.network.as_ref();
    let texts = network.into_iter().flat_map(|network| {
        std::iter::once(&network.ip).chain(network.additional_ips.iter().map(|more| &more.ip))
    });
    let options =
        status.linux.as_ref().and_then(|linux| linux.namespaces.as_ref()?.options.as_ref());
    let own = options.is_none_or(|options| options.network != NODE_NETWORK);
    let addresses = texts.filter(|_| own).filter_map(|text| text.parse().ok()).collect();
    let labels = sandbox.labels.into_iter().collect();
    let made = Duration::from_nanos(u64::try_from(sandbox.created_at).unwrap_or(0));
    Learnt::Pod {
        uid: sandbox.id,
        created: sandbox.created_at,
        addresses,
        ending: false,
        // Its network is set up before the runtime calls it made.
        ran_ago: Some(ago(made)),
        workload: Arc::new(workload::by_labels(&metadata.namespace, &metadata.name, &labels)),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, net::IpAddr};

    use super::{
        messages::{LinuxStatus, Metadata, Namespaces, Network, Options, PodIp},
        *,
    };

    #[test]
    fn a_sandbox_has_all_its_addresses_unless_they_are_the_nodes() {
        let sandbox = PodSandbox {
            id: "1".into(),
            metadata: Some(Metadata { name: "db-0".into(), namespace: "shop".into() }),
            labels: HashMap::from([("statefulset.kubernetes.io/pod-name".into(), "db-0".into())]),
            ..PodSandbox::default()
        };
        let network = Network {
            ip: "10.0.0.1".into(),
            additional_ips: vec![PodIp { ip: "fd00::1".into() }, PodIp { ip: "odd".into() }],
        };
        let mut status = PodSandboxStatus { network: Some(network), linux: None };
        let of = |learnt| match learnt {
            Learnt::Pod { addresses, workload, .. } => (addresses, workload),
            other => panic!("{other:?}"),
        };
        let (addresses, workload) = of(read(sandbox.clone(), &status));
        assert_eq!(addresses.len(), 2);
        assert_eq!((&workload.kind[..], &workload.name[..]), ("StatefulSet", "db"));
        let options = Some(Options { network: NODE_NETWORK });
        status.linux = Some(LinuxStatus { namespaces: Some(Namespaces { options }) });
        assert_eq!(of(read(sandbox, &status)).0, Vec::<IpAddr>::new());
    }
}
