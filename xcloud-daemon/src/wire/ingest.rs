//! Agents bring observations: each stream opens with a hello, each batch is merged once or refused.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};
use xcloud_proto::{
    common::v1::{
        PodPlace as WirePodPlace, PodStages, PodView as WirePodView, Site as WireSite,
        StageProfile, Workload as WireWorkload,
    },
    ingest::v1::{
        Egress, Hello, SampleBatch, Status as Told, StreamBatchesRequest, StreamBatchesResponse,
        Totals as WireTotals, ingest_service_server::IngestService,
        stream_batches_request::Message,
    },
};

use super::{
    convert::{self, Decoded},
    egress,
    limits::{LONGEST_LABEL, LONGEST_SENTENCE, MOST_STAGE_PODS, MOST_TEXT, hook_size, pod_size},
    server::Hub,
};
use xcloud_common::stage::STAGES;

use crate::{
    access::{role::Role, speaker::Speaker},
    escape::is_harmful,
    measure::{
        Site,
        account::Totals,
        ledger::{BootId, PodPlace, PodView},
        places::Address,
        stages::BUCKETS,
        state::{Batch, Names, Opening, Refusal, Stream},
        workload::Workload,
    },
};

/// Batches an agent may have under way: enough to fill a long path, few enough to hold.
const CREDIT: u32 = 16;
/// How long a new stream may be silent.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Most probes or programs in one.
const MAX_STAGE_PROBES: usize = 64;
/// Most addresses of an agent's uplinks, and of its pods.
const MAX_UPLINK_ADDRESSES: usize = 256;
const MAX_POD_ADDRESSES: usize = 4_096;

/// The service.
#[derive(Debug)]
pub struct Ingest {
    hub: Arc<Hub>,
}

impl Ingest {
    /// Over a memory.
    #[must_use]
    pub const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

type Requests = Streaming<StreamBatchesRequest>;
type Answers = mpsc::Sender<Result<StreamBatchesResponse, Status>>;

#[tonic::async_trait]
impl IngestService for Ingest {
    type StreamBatchesStream = ReceiverStream<Result<StreamBatchesResponse, Status>>;

    async fn stream_batches(
        &self,
        request: Request<Streaming<StreamBatchesRequest>>,
    ) -> Result<Response<Self::StreamBatchesStream>, Status> {
        let speaker = Speaker::of(&request)?;
        let (answers, receiver) = mpsc::channel(CREDIT as usize);
        let hub = Arc::clone(&self.hub);
        tokio::spawn(async move {
            let mut agent = String::from("an agent that has not said who it is");
            let requests = request.into_inner();
            if let Err(status) = converse(&hub, &speaker, requests, &answers, &mut agent).await {
                let left =
                    matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown);
                if !left && !speaker.tell(&status) {
                    hub.refused(&agent, &status);
                }
                // Whoever hung up does not want to know.
                let _ = answers.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// A stream that closes however its task ends.
struct Open<'a> {
    hub: &'a Hub,
    name: &'a str,
    stream: Stream,
    replaced: CancellationToken,
}

impl Open<'_> {
    fn take_in(&self, told: Told) -> Result<(), String> {
        let addresses = addresses(&told)?;
        let (hooks, pods) = status(told)?;
        self.hub.tell(&self.stream, hooks, pods, addresses);
        Ok(())
    }

    /// Counts and tells of what was wrong beside the samples, and is left out.
    fn passed_over(&self, why: String) {
        self.hub.refused(self.name, &Status::invalid_argument(why));
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.hub.close(&self.stream, &self.replaced);
    }
}

async fn converse(
    hub: &Hub,
    speaker: &Speaker,
    mut requests: Requests,
    answers: &Answers,
    name: &mut String,
) -> Result<(), Status> {
    let Some(hello) = greeting(&mut requests).await? else { return Ok(()) };
    let site = hello.site.clone().unwrap_or_default();
    let opening = opening(hello).map_err(Status::invalid_argument)?;
    speaker.may_be(&[Role::Agent], &site, &opening.name)?;
    let boot = opening.boot;
    name.clone_from(&opening.name);
    let (stream, acked, replaced) = hub.open(opening, speaker.identity()).map_err(refusal)?;
    let name = name.as_str();
    let open = Open { hub, name, stream, replaced };
    tracing::info!(agent = name, "agent {name:?} connected");
    let mut acked = acked;
    loop {
        if answers.send(Ok(answer(acked))).await.is_err() {
            return Ok(());
        }
        let Some(brought) = next_batch(&open, &mut requests).await? else { return Ok(()) };
        acked = hub.take(&open.stream, &brought.batch).map_err(refusal)?;
        match brought.stages {
            Ok(Some(profile)) => hub.keep_stages(&open.stream, profile),
            Ok(None) => {}
            Err(why) => open.passed_over(why),
        }
        if let Some(told) = brought.egress {
            hub.keep_egress(&open.stream, boot, told);
        }
    }
}

/// The hello, unless the agent hangs up first.
async fn greeting(requests: &mut Requests) -> Result<Option<Hello>, Status> {
    let first = timeout(HELLO_WITHIN, requests.message())
        .await
        .map_err(|_| Status::deadline_exceeded(format!("no hello came within {HELLO_WITHIN:?}")))?;
    match first.map_err(unreadable)?.map(|request| request.message) {
        Some(Some(Message::Hello(hello))) => Ok(Some(hello)),
        Some(_) => Err(Status::invalid_argument("the first message must be a hello")),
        None => Ok(None),
    }
}

/// A batch and what came with it.
struct Brought {
    batch: Batch,
    /// An error where it is more than a node can have.
    stages: Result<Option<StageProfile>, String>,
    egress: Option<Egress>,
}

/// The next batch, unless the agent hangs up first; what it tells of its hooks in between is taken in.
async fn next_batch(open: &Open<'_>, requests: &mut Requests) -> Result<Option<Brought>, Status> {
    loop {
        match next_message(open, requests).await? {
            Some(Message::Batch(batch)) => {
                return brought(batch).map(Some).map_err(Status::invalid_argument);
            }
            Some(Message::Status(told)) => {
                // Nothing measured is wrong, and a stream that ended would begin with the same again.
                if let Err(why) = open.take_in(told) {
                    open.passed_over(why);
                }
            }
            Some(Message::Hello(_)) => {
                return Err(Status::invalid_argument(
                    "only batches and statuses may follow the hello",
                ));
            }
            None => return Ok(None),
        }
    }
}

async fn next_message(open: &Open<'_>, requests: &mut Requests) -> Result<Option<Message>, Status> {
    let request = tokio::select! {
        message = requests.message() => message.map_err(unreadable)?,
        () = open.replaced.cancelled() => {
            return Err(Status::aborted("a newer stream of this agent has taken over"));
        }
        () = open.hub.stop.cancelled() => {
            return Err(Status::unavailable("the aggregator is stopping"));
        }
    };
    match request.map(|request| request.message) {
        Some(None) => Err(Status::invalid_argument("a message carries nothing")),
        message => Ok(message.flatten()),
    }
}

const fn answer(acked_sequence: u64) -> StreamBatchesResponse {
    StreamBatchesResponse { acked_sequence, credit_batches: CREDIT }
}

/// A message that is too long or no protobuf is wrong for good, and the agent is to give it up.
fn unreadable(status: Status) -> Status {
    match status.code() {
        Code::OutOfRange | Code::Internal | Code::ResourceExhausted => {
            Status::invalid_argument(status.message())
        }
        _ => status,
    }
}

fn refusal(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Invalid(why) => Status::invalid_argument(why),
        Refusal::OutOfTurn(why) => Status::failed_precondition(why),
        Refusal::Superseded(why) => Status::aborted(why),
        Refusal::Full(why) => Status::resource_exhausted(why),
        Refusal::Taken(why) => Status::permission_denied(why),
    }
}

fn opening(hello: Hello) -> Result<Opening, String> {
    label("agent_id", &hello.agent_id)?;
    if hello.agent_id.is_empty() {
        return Err("agent_id is empty".into());
    }
    label("version", &hello.version)?;
    label("kernel_release", &hello.kernel_release)?;
    hooks(&hello.hooks)?;
    let predecessor = hello
        .predecessor
        .map(|life| {
            Ok::<_, String>((boot_id("predecessor.boot_id", &life.boot_id)?, totals(life.totals)?))
        })
        .transpose()?;
    Ok(Opening {
        boot: boot_id("boot_id", &hello.boot_id)?,
        name: hello.agent_id,
        site: site(hello.site)?,
        version: hello.version,
        kernel_release: hello.kernel_release,
        hooks: hello.hooks,
        first_sequence: hello.first_sequence,
        predecessor,
    })
}

fn hooks(hooks: &[String]) -> Result<(), String> {
    hooks.iter().try_for_each(|hook| label("hooks", hook))?;
    if hooks.iter().map(|hook| hook_size(hook)).sum::<usize>() > MOST_TEXT {
        return Err(format!("hooks take more than {MOST_TEXT} bytes"));
    }
    Ok(())
}

/// What an agent says of its hooks and pods, if all of it is in bounds.
pub(crate) fn status(told: Told) -> Result<(Vec<String>, Vec<PodView>), String> {
    hooks(&told.hooks)?;
    let size = |pod: &WirePodView| pod_size(&pod.interface, &pod.why);
    if told.pods.iter().map(size).sum::<usize>() > MOST_TEXT {
        return Err(format!("pods take more than {MOST_TEXT} bytes"));
    }
    let view = |pod: WirePodView| {
        label("pods.interface", &pod.interface)?;
        text("pods.why", &pod.why, LONGEST_SENTENCE)?;
        let place = match pod.place() {
            WirePodPlace::Inside => PodPlace::Inside,
            WirePodPlace::Sockets => PodPlace::Sockets,
            WirePodPlace::Hidden => PodPlace::Hidden,
            WirePodPlace::Unspecified => return Err(format!("pods.place is {}", pod.place)),
        };
        Ok(PodView { interface: pod.interface, place, why: pod.why })
    };
    Ok((told.hooks, told.pods.into_iter().map(view).collect::<Result<_, String>>()?))
}

/// The addresses of an agent's node, of its uplinks and its pods.
fn addresses(told: &Told) -> Result<Vec<Address>, String> {
    if told.uplink_addresses.len() > MAX_UPLINK_ADDRESSES
        || told.pod_addresses.len() > MAX_POD_ADDRESSES
    {
        return Err("a status has more addresses than a node can have".into());
    }
    let all = told.uplink_addresses.iter().chain(&told.pod_addresses);
    let mut addresses = all
        .map(|bytes| egress::mapped(bytes).ok_or("an address of a status has not 4 or 16 bytes"))
        .collect::<Result<Vec<_>, _>>()?;
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// Labels are shown to people and go into other systems, so they are held to what a line of text can carry.
fn label(field: &str, label: &str) -> Result<(), String> {
    text(field, label, LONGEST_LABEL)
}

fn text(field: &str, text: &str, longest: usize) -> Result<(), String> {
    if text.len() > longest {
        return Err(format!("{field} has {} bytes, more than {longest}", text.len()));
    }
    if text.chars().any(is_harmful) {
        return Err(format!("{field} has control or invisible characters: {text:?}"));
    }
    Ok(())
}

fn boot_id(field: &str, bytes: &[u8]) -> Result<BootId, String> {
    bytes.try_into().map_err(|_| format!("{field} has {} bytes, not 16", bytes.len()))
}

fn site(site: Option<WireSite>) -> Result<Site, String> {
    let WireSite { cloud, region, zone, node, cluster } = site.ok_or("the hello names no site")?;
    label("site.cloud", &cloud)?;
    label("site.region", &region)?;
    label("site.zone", &zone)?;
    label("site.node", &node)?;
    label("site.cluster", &cluster)?;
    Ok(Site { cloud, region, zone, node, cluster })
}

fn totals(totals: Option<WireTotals>) -> Result<Totals, String> {
    let totals = totals.ok_or("totals are missing")?;
    let lost = totals.lost.unwrap_or_default();
    Ok(Totals {
        opened: totals.opened,
        emitted: totals.emitted,
        ring: lost.ring,
        slot: lost.slot,
        retransmit: lost.retransmit,
        queue: lost.queue,
        pending: totals.pending,
        unanswered: totals.unanswered,
        hidden: lost.hidden,
    })
}

/// A stage profile within what a node can have.
fn stages(profile: Option<StageProfile>) -> Result<Option<StageProfile>, String> {
    let Some(profile) = profile else { return Ok(None) };
    let programs = profile.cost.iter().map(|cost| cost.programs.len()).sum();
    let wide = |pod: &PodStages| {
        pod.stages.len() > STAGES
            || pod.stages.iter().any(|sum| sum.packets_by_log2_ns.len() > BUCKETS)
    };
    if profile.pods.len() > MOST_STAGE_PODS || profile.pods.iter().any(wide) {
        return Err(
            "stage_profile has more pods, stages or powers of two than a node can have".into()
        );
    }
    if profile.probes.len().max(programs) > MAX_STAGE_PROBES {
        return Err(format!("stage_profile has more than {MAX_STAGE_PROBES} probes"));
    }
    profile.pods.iter().try_for_each(|pod| label("pod_interface", &pod.pod_interface))?;
    for probe in &profile.probes {
        label("function", &probe.function)?;
        label("missing", &probe.missing)?;
    }
    let mut programs = profile.cost.iter().flat_map(|cost| &cost.programs);
    programs.try_for_each(|one| label("program", &one.program))?;
    Ok(Some(profile))
}

fn brought(batch: SampleBatch) -> Result<Brought, String> {
    batch.egress.as_ref().map_or(Ok(()), egress::check)?;
    Ok(Brought { batch: read(&batch)?, stages: stages(batch.stage_profile), egress: batch.egress })
}

fn read(batch: &SampleBatch) -> Result<Batch, String> {
    let Decoded { samples, workloads } =
        convert::decode(batch).map_err(|error| error.to_string())?;
    let names = batch.workloads.iter().map(workload).collect::<Result<_, _>>()?;
    Ok(Batch {
        sequence: batch.sequence,
        sent_monotonic_ns: batch.sent_monotonic_ns,
        sent_before: batch.sent_before,
        totals: totals(batch.totals)?,
        samples,
        names: Names { workloads: names, of_samples: workloads },
    })
}

fn workload(named: &WireWorkload) -> Result<Workload, String> {
    let WireWorkload { namespace, kind, name, pod } = named.clone();
    for text in [&namespace, &kind, &name, &pod] {
        label("workloads", text)?;
    }
    Ok(Workload { namespace, kind, name, pod })
}
