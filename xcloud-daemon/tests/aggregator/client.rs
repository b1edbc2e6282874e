//! The agent's own client against the server: what they agree on, through restarts and refusals.

use std::{net::SocketAddr, time::Duration};

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use xcloud::{
    cli::Address,
    wire::{
        client::{Client, SharedOutbox},
        outbox::{KernelTotals, Named, Outbox},
    },
};
use xcloud_common::sample::Sample;
use xcloud_proto::{ingest::v1::Status as HookStatus, observer::v1::LossReport};

use crate::harness::{SENT_NS, Server, hello, near};

struct Sending {
    outbox: SharedOutbox,
    stop: CancellationToken,
    task: JoinHandle<()>,
    emitted: u64,
}

impl Sending {
    fn start(address: SocketAddr) -> Self {
        let outbox = SharedOutbox::new(Outbox::new(1000));
        let stop = CancellationToken::new();
        let client = Client {
            address: Address::Tcp(address),
            hello: hello("aws-a", 1, 0),
            status: watch::channel(HookStatus::default()).1,
            outbox: outbox.clone(),
            flush: Duration::from_millis(5),
            clock: || SENT_NS,
        };
        let task = tokio::spawn(client.run(stop.clone()));
        Self { outbox, stop, task, emitted: 0 }
    }

    /// What the drain would: samples in, then the counters as read after them.
    fn drained(&mut self, samples: Vec<Sample>) {
        self.emitted += samples.iter().map(Sample::observations).sum::<u64>();
        let mut outbox = self.outbox.lock();
        outbox.push(&mut samples.into_iter().map(Named::from).collect());
        outbox.count(KernelTotals { emitted: self.emitted, ..KernelTotals::default() });
    }

    /// Waits until nothing is under way.
    async fn settled(&self) {
        while !self.outbox.lock().is_settled() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic");
    }
}

async fn loss(server: &Server) -> LossReport {
    server.status().await.loss.expect("a report")
}

#[tokio::test]
async fn a_refused_batch_is_given_up_and_the_rest_arrives() {
    let server = Server::start().await;
    let mut sending = Sending::start(server.socket());
    sending.drained(vec![near(1)]);
    sending.settled().await;
    let last_ns = SENT_NS + 5_000_000_000;
    sending.drained(vec![Sample { last_ns, ..near(2) }, near(3)]);
    sending.settled().await;
    sending.drained(vec![near(4)]);
    sending.settled().await;
    let report = loss(&server).await;
    assert_eq!((report.emitted, report.pending, report.lost.expect("by reason").queue), (8, 4, 4));
    assert_eq!(server.status().await.refused, 1);
    sending.stop().await;
}

#[tokio::test]
async fn a_new_aggregator_goes_on_where_the_last_one_ended() {
    // An address of its own, so that no other test's connection takes the port between the two.
    let first = Server::start_at(SocketAddr::from(([127, 0, 0, 77], 0))).await;
    let address = first.socket();
    let mut sending = Sending::start(address);
    sending.drained(vec![near(1), near(2)]);
    sending.settled().await;
    first.stop().await;
    sending.drained(vec![near(3)]);
    let second = Server::start_at(address).await;
    sending.settled().await;
    let report = loss(&second).await;
    assert_eq!((report.emitted, report.earlier, report.pending), (6, 4, 2));
    sending.stop().await;
}
