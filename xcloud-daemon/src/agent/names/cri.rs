//! Pods of this node from the container runtime, by the Container Runtime Interface (runtime.v1): looked at again and
//! again, since it tells of no changes by itself.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use http::uri::PathAndQuery;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::{Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;
use tracing::{debug, info, warn};
use xcloud_proto::common::v1::Workload;

pub mod messages;

use messages::{
    ListPodSandboxRequest, ListPodSandboxResponse, NODE_NETWORK, PodSandbox, PodSandboxStatus,
    PodSandboxStatusRequest, PodSandboxStatusResponse, READY,
};

use super::{Learnt, Names, Source, workload};
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
            "names: neither Kubernetes' API answers nor is there a container runtime (--cri-socket), so new pods have no names"
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
            info!("names: {} knows no pods, so new ones have no names", socket.display());
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
        for pod in runtime.look(&mut known, names).await? {
            names.learn(Source::Runtime, pod);
        }
        names.learn(Source::Runtime, Learnt::Only(known.clone()));
        if std::mem::take(&mut first) {
            names.rely_on(Source::Runtime);
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
    async fn look(&mut self, known: &mut HashSet<String>, names: &Names) -> Result<Vec<Learnt>> {
        let asked = Instant::now();
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
                    let pod = sandbox.metadata.as_ref();
                    let told = pod.and_then(|pod| names.workload(&pod.uid));
                    new.push(read(sandbox, &status.unwrap_or_default(), asked, told));
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

/// What is learnt of a sandbox that was ready when it was `asked` about, or soon after. Who owns its pod the API may have
/// `told` before.
fn read(
    sandbox: PodSandbox,
    status: &PodSandboxStatus,
    asked: Instant,
    told: Option<Arc<Workload>>,
) -> Learnt {
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
    let by_labels = || Arc::new(workload::by_labels(&metadata.namespace, &metadata.name, &labels));
    Learnt::Pod {
        uid: sandbox.id,
        created: sandbox.created_at,
        addresses,
        ending: false,
        // Another pod with its addresses comes after it has ended, and it had not then.
        ran_ago: Some(asked.elapsed()),
        workload: told.unwrap_or_else(by_labels),
    }
}

#[cfg(test)]
pub(super) mod tests;
