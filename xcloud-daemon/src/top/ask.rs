//! Asks the aggregator again and again, and goes on when it was away.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tonic::transport::Channel;
use xcloud_proto::observer::v1::{
    GroupBy, ListNodesRequest, QuerySplitRequest, QuerySplitResponse,
    observer_service_client::ObserverServiceClient,
};

use super::{
    question::{Question, start_ns},
    state::{Answer, Event},
};
use crate::{
    cli::Address,
    report::{Report, nodes::Node},
    wire::{answer::nanoseconds, backoff, connect},
};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// An aggregator that answers.
pub(super) struct Asker<'a> {
    client: ObserverServiceClient<Channel>,
    address: &'a Address,
    window: Duration,
    /// Its time at the latest answer, which is not this machine's, and when that came.
    clock: (u64, Instant),
}

impl<'a> Asker<'a> {
    /// Connects, and learns the aggregator's time.
    pub(super) async fn connect(address: &'a Address, window: Duration) -> Result<Self> {
        let client = connect::observer(address).await?;
        let mut asker = Self { client, address, window, clock: (0, Instant::now()) };
        // An answer says when its range ended. By clouds it is short.
        let request =
            QuerySplitRequest { group_by: GroupBy::Cloud.into(), ..QuerySplitRequest::default() };
        asker.split(request).await?;
        Ok(asker)
    }

    /// Asks once.
    pub(super) async fn ask(&mut self, question: &Question) -> Result<Answer> {
        let (end_ns, at) = self.clock;
        let start_ns = start_ns(end_ns, at.elapsed(), self.window);
        let split = self.split(question.request(Some(start_ns))).await?;
        let call = patiently(self.client.list_nodes(ListNodesRequest {})).await?;
        let nodes = connect::answered(call, self.address)?.into_inner().nodes;
        Ok(Answer {
            question: question.clone(),
            report: Report::from(split),
            nodes: nodes.into_iter().map(Node::from).collect(),
        })
    }

    async fn split(&mut self, request: QuerySplitRequest) -> Result<QuerySplitResponse> {
        let call = patiently(self.client.query_split(request)).await?;
        let answer = connect::answered(call, self.address)?.into_inner();
        let end_ns = answer.end.as_ref().map(nanoseconds);
        self.clock = (end_ns.context("the aggregator does not say when it is")?, Instant::now());
        Ok(answer)
    }
}

async fn patiently<T>(call: impl Future<Output = T>) -> Result<T> {
    timeout(PATIENCE, call).await.with_context(|| format!("no answer came within {PATIENCE:?}"))
}

/// Asks what is to be asked until nobody wants to know; what came of it goes to `events`.
pub(super) async fn again_and_again(
    address: &Address,
    (window, interval): (Duration, Duration),
    mut questions: watch::Receiver<Option<Question>>,
    events: mpsc::Sender<Event>,
) {
    let (mut asker, mut failed) = (None, 0);
    loop {
        let Ok(question) = questions.wait_for(Option::is_some).await.map(|wanted| wanted.clone())
        else {
            return;
        };
        let Some(question) = question else { continue };
        questions.mark_unchanged();
        let (event, pause) = match look(&mut asker, address, window, &question).await {
            Ok(answer) => {
                failed = 0;
                (Event::Answer(Box::new(answer)), interval)
            }
            Err(error) => {
                asker = None;
                failed += 1;
                (Event::Gone(format!("{error:#}")), backoff::pause(failed))
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(pause) => {}
            changed = questions.changed() => if changed.is_err() { return },
        }
    }
}

async fn look<'a>(
    asker: &mut Option<Asker<'a>>,
    address: &'a Address,
    window: Duration,
    question: &Question,
) -> Result<Answer> {
    if asker.is_none() {
        *asker = Some(Asker::connect(address, window).await?);
    }
    asker.as_mut().context("connected above")?.ask(question).await
}
