//! Pods of this node from Kubernetes' API: a watch of them, and what owns their owners.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use futures_util::{Stream, StreamExt as _};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher,
};
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{info, warn};
use xcloud_proto::common::v1::Workload;

use super::{
    Learnt, Names, Source, ago,
    object::{self, ApiPod},
    workload::{self, Above, Owner},
};
use crate::cli::names::{Auto, NamesArgs};

/// How long it may take to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a watch goes on before the API ends it and the next one begins, in seconds. One that says nothing for longer
/// is of an API that is gone.
const WATCH_SECONDS: u32 = 60;
/// How long the API may be silent on a connection while it is to say something.
const SILENT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
/// How long the API may take to say who owns an object.
const OWNER_WITHIN: Duration = Duration::from_secs(1);
/// Most owners remembered.
const MOST_OWNERS: usize = 4_096;
/// How often trouble is told.
const TROUBLE_EVERY: Duration = Duration::from_secs(60);
/// How often owners are asked for that could not be had before.
pub const OWNERS_AGAIN: Duration = Duration::from_secs(60);
/// Where a pod finds what it needs to reach the API.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How to reach the API: by the file given, else as a pod of the cluster; none when this is no pod.
///
/// # Errors
/// What there is cannot be used.
pub async fn config(args: &NamesArgs) -> Result<Option<Config>> {
    if args.kubernetes == Auto::Off {
        return Ok(None);
    }
    if let Some(path) = &args.kubeconfig {
        let reading = || format!("reading --kubeconfig {}", path.display());
        let file = Kubeconfig::read_from(path).with_context(reading)?;
        let current = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(file, &current).await;
        return config.map(Some).with_context(reading);
    }
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if !in_cluster || !Path::new(SERVICE_ACCOUNT).exists() {
        return Ok(None);
    }
    Config::incluster().map(Some).context("reading the pod's service account")
}

/// The API.
///
/// # Errors
/// Certificates or keys cannot be used.
pub fn client(mut config: Config) -> Result<Client> {
    config.connect_timeout = Some(CONNECT_WITHIN);
    config.read_timeout = Some(SILENT);
    config.reset_reader_on_write = true;
    Client::try_from(config).context("preparing to speak to Kubernetes' API")
}

/// Learns the pods of a node for ever, and says whether the API is `answering`: whether it has listed all of them and told
/// of no trouble since. Owners that it does not tell are asked for `again` after this long.
pub async fn follow(
    client: Client,
    node: &str,
    names: &Names,
    answering: &watch::Sender<bool>,
    again: Duration,
) {
    let pods: Api<ApiPod> = Api::all_with(client.clone(), &resource("", "Pod", "pods"));
    // From the server's cache: a thousand agents that start at once must not all read the store.
    let wanted = watcher::Config::default()
        .fields(&format!("spec.nodeName={node}"))
        .timeout(WATCH_SECONDS)
        .any_semantic();
    let mut reader = Reader::new(client, names, answering, again);
    let mut trouble = Trouble::default();
    let mut pauses = watcher::DefaultBackoff::default();
    loop {
        let read = reader.read(watcher(pods.clone(), wanted.clone())).await;
        answering.send_replace(false);
        if let Err(error) = read {
            trouble.tell(|| {
                let why = causes(&error);
                format!("names: Kubernetes' API does not tell the pods of node {node:?}: {why}")
            });
        }
        // It has no end.
        sleep(pauses.next().unwrap_or(SILENT)).await;
    }
}

fn resource(group: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { "v1".into() } else { format!("{group}/v1") };
    ApiResource {
        group: group.into(),
        version: "v1".into(),
        api_version,
        kind: kind.into(),
        plural: plural.into(),
    }
}

/// An error with its causes.
pub(in crate::agent) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Trouble that is told now and then.
#[derive(Debug, Default)]
struct Trouble(Option<Instant>);

impl Trouble {
    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.0.is_none_or(|told| told.elapsed() >= TROUBLE_EVERY) {
            self.0 = Some(Instant::now());
            warn!("{}", what());
        }
    }
}

/// Reads the watch.
struct Reader<'a> {
    client: Client,
    names: &'a Names,
    answering: &'a watch::Sender<bool>,
    owners: Owners,
    /// Uids of a list that is under way.
    listed: HashSet<String>,
    /// Pods, by uid, whose owner's owner could not be had: their names hold until it is.
    unsure: HashMap<String, ApiPod>,
    again: Interval,
}

impl<'a> Reader<'a> {
    fn new(
        client: Client,
        names: &'a Names,
        answering: &'a watch::Sender<bool>,
        again: Duration,
    ) -> Self {
        let mut again = interval(again);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            client,
            names,
            answering,
            owners: Owners::default(),
            listed: HashSet::new(),
            unsure: HashMap::new(),
            again,
        }
    }

    /// Takes in a list and the changes that follow it.
    ///
    /// # Errors
    /// One of them cannot be had: what was missed then only another list tells.
    async fn read(
        &mut self,
        events: impl Stream<Item = watcher::Result<watcher::Event<ApiPod>>>,
    ) -> watcher::Result<()> {
        let mut events = pin!(events);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.take(event?).await,
                    None => return Ok(()),
                },
                _ = self.again.tick() => self.ask_again().await,
            }
        }
    }

    /// Asks for owners that could not be had, each kind until one cannot be had again.
    async fn ask_again(&mut self) {
        self.owners.refused.clear();
        for (uid, pod) in std::mem::take(&mut self.unsure) {
            let workload = self.workload(&uid, &pod).await;
            if !self.unsure.contains_key(&uid) {
                self.names.learn(Source::Api, Learnt::Owned(uid, Arc::new(workload)));
            }
        }
    }

    async fn take(&mut self, event: watcher::Event<ApiPod>) {
        match event {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(pod) => {
                self.listed.extend(object::uid(&pod));
                self.learn(&pod).await;
            }
            watcher::Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.unsure.retain(|uid, _| listed.contains(uid));
                let count = listed.len();
                self.names.learn(Source::Api, Learnt::Only(listed));
                self.names.rely_on(Source::Api);
                if !self.answering.send_replace(true) {
                    info!("names: Kubernetes' API tells {count} pods of this node");
                }
            }
            watcher::Event::Apply(pod) => self.learn(&pod).await,
            watcher::Event::Delete(pod) => {
                if let Some(uid) = object::uid(&pod) {
                    self.unsure.remove(&uid);
                    self.names.learn(Source::Api, Learnt::Gone(uid));
                }
            }
        }
    }

    async fn learn(&mut self, pod: &ApiPod) {
        let Some(uid) = object::uid(pod) else { return };
        // Asked before the clock is read: what the API told is older than that.
        let workload = match self.names.workload(&uid) {
            Some(known) if !self.unsure.contains_key(&uid) => known,
            _ => Arc::new(self.workload(&uid, pod).await),
        };
        let created = pod.metadata.creation_timestamp.as_ref();
        self.names.learn(
            Source::Api,
            Learnt::Pod {
                uid,
                created: created.map_or(0, |time| time.0.as_second()),
                addresses: object::addresses(pod),
                ending: pod.metadata.deletion_timestamp.is_some(),
                ran_ago: object::ran(pod).map(ago),
                workload,
            },
        );
    }

    /// Whose a pod is, as far as it can be told now; if that may change, the pod is `unsure`.
    async fn workload(&mut self, uid: &str, pod: &ApiPod) -> Workload {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let none = std::collections::BTreeMap::new();
        let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
        let controller = object::controller(pod);
        let above = match &controller {
            Some((owner, uid)) if owner.is_between() => {
                self.owners.above(&self.client, namespace, owner, uid).await
            }
            _ => Some(Above::NotAsked),
        };
        if above.is_none() {
            self.unsure.insert(uid.into(), pod.clone());
        } else {
            self.unsure.remove(uid);
        }
        let above = above.unwrap_or(Above::NotAsked);
        workload::by_owner(namespace, name, labels, controller.as_ref().map(|it| &it.0), &above)
    }
}

/// Who owns ReplicaSets and Jobs.
#[derive(Debug, Default)]
struct Owners {
    /// By the uid of what is owned.
    known: HashMap<String, Above>,
    /// Kinds of which the API did not tell since they were asked for [again](Reader::ask_again).
    refused: HashSet<String>,
    trouble: Trouble,
}

impl Owners {
    /// None if it cannot be had now.
    async fn above(
        &mut self,
        client: &Client,
        namespace: &str,
        of: &Owner,
        uid: &str,
    ) -> Option<Above> {
        if let Some(known) = self.known.get(uid) {
            return Some(known.clone());
        }
        if self.refused.contains(&of.kind) {
            return None;
        }
        match ask(client, namespace, of).await {
            Ok(above) => {
                if self.known.len() >= MOST_OWNERS {
                    self.known.clear();
                }
                self.known.insert(uid.into(), above.clone());
                Some(above)
            }
            Err(error) => {
                self.refused.insert(of.kind.clone());
                self.trouble.tell(|| {
                    format!(
                        "names go by labels, since Kubernetes' API does not tell owners: {error:#}"
                    )
                });
                None
            }
        }
    }
}

async fn ask(client: &Client, namespace: &str, of: &Owner) -> Result<Above> {
    let resource = match &of.kind[..] {
        "ReplicaSet" => resource("apps", "ReplicaSet", "replicasets"),
        _ => resource("batch", "Job", "jobs"),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let asking = || format!("asking for {} {namespace}/{}", of.kind, of.name);
    let object = timeout(OWNER_WITHIN, api.get_metadata_opt(&of.name))
        .await
        .map_err(|_| anyhow!("no answer within {OWNER_WITHIN:?}"))
        .with_context(asking)?
        .map_err(|error| anyhow!("{}", causes(&error)))
        .with_context(asking)?;
    // One that is gone already had an owner or not: nobody knows any more.
    let Some(object) = object else { return Ok(Above::NotAsked) };
    let owners = object.metadata.owner_references.unwrap_or_default();
    let controller = owners.into_iter().find(|owner| owner.controller == Some(true));
    Ok(controller.map_or(Above::Nobody, |owner| Above::Owner(Owner::new(&owner.kind, &owner.name))))
}

#[cfg(test)]
pub(super) mod tests;
