//! `xcloud load endpoint`, and an agent's `--load-tests`: waits at the aggregator for parts in tests and plays them, one at a
//! time. When the stream ends, whatever still runs is ended: no load outlives the one who ordered it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use log::{info, warn};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::Status;
use xcloud_proto::common::v1::Site;
use xcloud_proto::loadtest::v1::{
    Answer, AttendRequest, AttendResponse, LoadEndpoint, LoadTestSpec, Network, Send,
    attend_request, attend_response::Message, endpoint_service_client::EndpointServiceClient,
};

use super::{
    attendee::{Attendee, octets},
    part::{Errand, Part},
    rules::Rules,
    spec::Spec,
};
use crate::{
    agent::identity::host_name,
    cli::{
        Address, AgentArgs,
        ends::label,
        loadtest::{EndpointArgs, NetworkArg},
    },
    usage::usage,
    wire::{answer::address, backoff, connect},
};

/// How often the same trouble is told.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Reports on their way: room for a table at a test's end.
const REPORTS: usize = 256;
/// Longest test an agent takes part in.
const MAX_DURATION: Duration = Duration::from_hours(1);
/// Longest name of a test.
const LONGEST_ID: usize = 64;

/// An endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Whose tests.
    pub aggregator: Address,
    /// Who it is.
    pub attendee: Attendee,
    /// What it takes part in.
    pub rules: Rules,
}

/// Runs `xcloud load endpoint` until SIGTERM or SIGINT.
///
/// # Errors
/// A flag makes no sense.
pub fn run(args: &EndpointArgs) -> Result<()> {
    let endpoint = endpoint(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let stop = CancellationToken::new();
        let told = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.cancel();
        };
        tokio::join!(endpoint.run(stop.clone()), told);
        Ok(())
    })
}

fn endpoint(args: &EndpointArgs) -> Result<Endpoint> {
    let or_host = |name: &Option<String>| name.clone().map_or_else(host_name, Ok);
    let node = or_host(&args.node)?;
    let wire = LoadEndpoint {
        name: or_host(&args.name)?,
        site: Some(Site {
            cloud: args.cloud.clone(),
            region: args.region.clone(),
            zone: args.zone.clone(),
            node,
            cluster: String::new(),
        }),
        network: match args.network {
            NetworkArg::Pod => Network::Pod.into(),
            NetworkArg::Host => Network::Host.into(),
        },
        address: octets(args.address),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let attendee = Attendee::read(wire).map_err(usage)?;
    let rules = Rules {
        listen: args.listen.unwrap_or(args.address),
        max_duration: args.max_duration,
        max_bytes: args.max_bytes.map(|volume| volume.0),
    };
    Ok(Endpoint { aggregator: args.server.aggregator.clone(), attendee, rules })
}

/// An agent as an endpoint in its node's network, if it is to be one.
///
/// # Errors
/// Its address is none that others can reach.
pub fn of_agent(args: &AgentArgs, agent_id: &str, site: &Site) -> Result<Option<Endpoint>> {
    let Some(listen) = args.load_tests.load_address.filter(|_| args.load_tests.load_tests) else {
        return Ok(None);
    };
    let attendee = Attendee::read(LoadEndpoint {
        name: agent_id.into(),
        site: Some(site.clone()),
        network: Network::Host.into(),
        address: octets(listen),
        version: env!("CARGO_PKG_VERSION").into(),
    });
    let rules = Rules { listen, max_duration: MAX_DURATION, max_bytes: None };
    let attendee = attendee.map_err(usage)?;
    Ok(Some(Endpoint { aggregator: args.aggregator.clone(), attendee, rules }))
}

impl Endpoint {
    /// Attends until `stop` is cancelled. Loss of the aggregator is no error.
    pub async fn run(self, stop: CancellationToken) {
        let mut attempt = 0;
        let mut warned: Option<Instant> = None;
        while !stop.is_cancelled() {
            let status = self.attend(&stop, &mut attempt).await;
            if stop.is_cancelled() {
                return;
            }
            let pause = backoff::pause(attempt);
            attempt += 1;
            if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                warned = Some(Instant::now());
                let why = connect::describe(&status);
                warn!(
                    "load tests of aggregator {}: {why}; next attempt in {pause:.1?}",
                    self.aggregator
                );
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Attends once; says why that ended.
    async fn attend(&self, stop: &CancellationToken, attempt: &mut u32) -> Status {
        let (reports, receiver) = mpsc::channel(REPORTS);
        let hello = attend_request::Message::Hello(self.attendee.wire());
        // The channel is new, so it has room.
        let _ = reports.try_send(AttendRequest { message: Some(hello) });
        let opening = async {
            let channel = connect::lasting(&self.aggregator)
                .await
                .map_err(|error| Status::from_error(Box::new(error)))?;
            EndpointServiceClient::new(channel).attend(ReceiverStream::new(receiver)).await
        };
        let mut orders = tokio::select! {
            opened = opening => match opened {
                Ok(response) => response.into_inner(),
                Err(status) => return status,
            },
            () = stop.cancelled() => return Status::cancelled("told to stop"),
        };
        let mut stage = Stage { endpoint: self, reports, playing: None };
        let status = loop {
            let order = tokio::select! {
                order = orders.message() => order,
                () = stop.cancelled() => break Status::cancelled("told to stop"),
            };
            match order {
                Ok(Some(AttendResponse { message: Some(message) })) => {
                    if matches!(message, Message::Welcome(_)) {
                        info!("aggregator {}: attending its load tests", self.aggregator);
                        *attempt = 0;
                    }
                    stage.take(message).await;
                }
                Ok(Some(_)) => {}
                Ok(None) => break Status::unavailable("it ended the stream"),
                Err(status) => break status,
            }
        };
        stage.clear().await;
        status
    }
}

/// Where one part at a time is played.
struct Stage<'a> {
    endpoint: &'a Endpoint,
    reports: mpsc::Sender<AttendRequest>,
    playing: Option<Playing>,
}

struct Playing {
    part: Part,
    task: AbortOnDropHandle<()>,
}

impl Stage<'_> {
    async fn take(&mut self, order: Message) {
        match order {
            Message::Welcome(_) => {}
            Message::Answer(Answer { test_id, spec }) => {
                let rules = self.endpoint.rules.clone();
                match self.read(spec) {
                    Ok(spec) => self.play(test_id, |part| part.answer(spec, rules)).await,
                    Err(why) => self.part(test_id).refuse(why).await,
                }
            }
            Message::Send(send) => {
                let test = send.test_id.clone();
                match self.read(send.spec.clone()).and_then(|spec| Ok((spec, self.errand(&send)?)))
                {
                    Ok((spec, errand)) => self.play(test, |part| part.send(spec, errand)).await,
                    Err(why) => self.part(test).refuse(why).await,
                }
            }
            Message::Stop(test) => {
                if let Some(playing) = self.playing.as_ref().filter(|one| one.part.test == test) {
                    playing.part.stop.cancel();
                }
            }
        }
    }

    fn read(&self, spec: Option<LoadTestSpec>) -> Result<Spec, String> {
        let spec = Spec::read(&spec.unwrap_or_default())?;
        self.endpoint.rules.allow(&spec)?;
        Ok(spec)
    }

    fn errand(&self, send: &Send) -> Result<Errand, String> {
        let to = send.to.as_ref().and_then(|to| {
            let ip =
                address(&to.address).filter(|ip| !ip.is_unspecified() && !ip.is_multicast())?;
            let port = u16::try_from(to.port).ok().filter(|port| *port > 0)?;
            Some(SocketAddr::new(ip, port))
        });
        let Endpoint { aggregator, attendee, .. } = self.endpoint;
        Ok(Errand {
            to: to.ok_or("the answering part's address is none")?,
            labels: (label(&send.from_label)?, label(&send.to_label)?),
            // Hooks see a pod's packets only.
            aggregator: (attendee.network == Network::Pod).then(|| aggregator.clone()),
        })
    }

    fn part(&self, test: String) -> Part {
        let (stop, over) = (CancellationToken::new(), CancellationToken::new());
        Part { test, reports: self.reports.clone(), stop, over }
    }

    async fn play<F: Future<Output = ()> + std::marker::Send + 'static>(
        &mut self,
        test: String,
        act: impl FnOnce(Part) -> F,
    ) {
        let plays = self.playing.as_ref().filter(|one| !one.task.is_finished());
        if let Some(other) = plays.map(|one| one.part.test.clone()) {
            return self.part(test).refuse(format!("plays in test {other} already")).await;
        }
        if test.is_empty() || test.len() > LONGEST_ID {
            return self.part(test).refuse("a test's name has 1 to 64 bytes".into()).await;
        }
        info!("load test {}: playing a part", test.escape_debug());
        let part = self.part(test);
        let task = AbortOnDropHandle::new(tokio::spawn(act(part.clone())));
        self.playing = Some(Playing { part, task });
    }

    /// Ends what still plays, and waits until it has ended.
    async fn clear(self) {
        if let Some(Playing { part, task }) = self.playing {
            part.over.cancel();
            if let Err(error) = task.await {
                warn!("a part in a load test: {error}");
            }
        }
    }
}
