//! `emitted = delivered + lost + pending + earlier` through resends and restarts of either side; each query of the
//! harness checks it exactly.

use xcloud_proto::{
    common::v1::Loss,
    ingest::v1::{Predecessor, SampleBatch, Totals},
    observer::v1::LossReport,
};

use crate::harness::{Agent, Server, batch, far, hello, near};

async fn loss(server: &Server) -> LossReport {
    server.status().await.loss.expect("a report")
}

#[tokio::test]
async fn a_batch_sent_again_is_merged_once() {
    let server = Server::start().await;
    for resend in 0..3 {
        let mut agent = Agent::connect(&server, hello("aws-a", 1, 1)).await;
        assert_eq!(agent.acked().await.ok(), Some(u64::from(resend > 0) * 2));
        assert_eq!(
            agent.batch(batch(1, 0, &[near(1)])).await.ok(),
            Some(1.max(u64::from(resend > 0) * 2))
        );
        assert_eq!(agent.batch(batch(2, 2, &[near(2)])).await.ok(), Some(2));
        assert_eq!((loss(&server).await.emitted, loss(&server).await.pending), (4, 4));
    }
}

#[tokio::test]
async fn after_a_restart_of_the_aggregator_what_it_had_is_earlier() {
    let first = Server::start().await;
    let mut agent = Agent::connect(&first, hello("aws-a", 1, 1)).await;
    assert_eq!(agent.acked().await.ok(), Some(0));
    assert_eq!(agent.batch(batch(1, 0, &[near(1)])).await.ok(), Some(1));
    drop(agent);
    first.stop().await;
    let second = Server::start().await;
    let mut agent = Agent::connect(&second, hello("aws-a", 1, 2)).await;
    assert_eq!(agent.acked().await.ok(), Some(1));
    assert_eq!(
        loss(&second).await,
        LossReport { lost: Some(Loss::default()), ..LossReport::default() }
    );
    assert_eq!(agent.batch(batch(2, 2, &[near(2), near(3)])).await.ok(), Some(2));
    let loss = loss(&second).await;
    assert_eq!((loss.emitted, loss.earlier, loss.pending), (6, 2, 4));
}

/// A batch of an agent that lost some on the way and has some under way.
fn lossy(sequence: u64, sent_before: u64) -> SampleBatch {
    let lost = Loss { ring: 10, slot: 20, retransmit: 30, queue: 40, ..Loss::default() };
    let totals = Totals {
        emitted: sent_before + 2 + 10 + 40 + 5,
        lost: Some(lost),
        pending: 5,
        ..Totals::default()
    };
    SampleBatch { totals: Some(totals), ..batch(sequence, sent_before, &[near(1)]) }
}

#[tokio::test]
async fn an_agent_that_restarts_without_a_word_loses_what_was_under_way() {
    let server = Server::start().await;
    let mut agent = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    assert_eq!(agent.acked().await.ok(), Some(0));
    assert_eq!(agent.batch(lossy(1, 0)).await.ok(), Some(1));
    assert_eq!(loss(&server).await.pending, 2 + 5);
    let mut agent = Agent::connect(&server, hello("aws-a", 2, 1)).await;
    assert_eq!(agent.acked().await.ok(), Some(0));
    let after = loss(&server).await;
    let lost = after.lost.expect("by reason");
    assert_eq!((after.emitted, after.pending, lost.agent, lost.slot), (107, 2, 5, 20));
    assert_eq!(agent.batch(batch(1, 0, &[near(2)])).await.ok(), Some(1));
    assert_eq!(loss(&server).await.emitted, 109);
}

#[tokio::test]
async fn final_totals_of_a_killed_agent_say_what_died_with_it() {
    let server = Server::start().await;
    let mut agent = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    assert_eq!(agent.acked().await.ok(), Some(0));
    assert_eq!(agent.batch(lossy(1, 0)).await.ok(), Some(1));
    // Counters that outlived it say 100 were emitted and 11 found no room in the ring; its queue is not known.
    let last = Totals {
        emitted: 100,
        lost: Some(Loss { ring: 11, slot: 20, retransmit: 30, ..Loss::default() }),
        ..Totals::default()
    };
    let predecessor = Predecessor { boot_id: vec![1; 16], totals: Some(last) };
    let reborn =
        xcloud_proto::ingest::v1::Hello { predecessor: Some(predecessor), ..hello("aws-a", 2, 1) };
    let mut agent = Agent::connect(&server, reborn).await;
    assert_eq!(agent.acked().await.ok(), Some(0));
    let after = loss(&server).await;
    let lost = after.lost.expect("by reason");
    assert_eq!((after.emitted, lost.ring, lost.queue), (150, 11, 40));
    assert_eq!(lost.agent, 100 - 2 - 11 - 40);
}

#[tokio::test]
async fn joined_and_waiting_are_told_apart() {
    let server = Server::start().await;
    let mut aws = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    let mut gcp = Agent::connect(&server, hello("gcp-b", 1, 1)).await;
    assert_eq!((aws.acked().await.ok(), gcp.acked().await.ok()), (Some(0), Some(0)));
    assert_eq!(aws.batch(batch(1, 0, &[near(1), near(2)])).await.ok(), Some(1));
    let mut other = far(2);
    other.answer ^= 0xff;
    assert_eq!(gcp.batch(batch(1, 0, &[far(1), other, far(3)])).await.ok(), Some(1));
    let loss = loss(&server).await;
    let joined = server.status().await.joined_exchanges;
    assert_eq!((loss.emitted, loss.delivered, loss.pending, joined), (10, 4, 2, 2));
    assert_eq!(loss.lost.expect("by reason").join, 4);
}
