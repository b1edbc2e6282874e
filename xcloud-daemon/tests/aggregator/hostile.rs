//! Messages that no honest agent sends: each is refused with a sentence, nothing of it is merged, the process lives on.

use tonic::{Code, Status};
use xcloud_proto::{
    common::v1::{Loss, PodPlace, PodStages, PodView, Site, StageProfile},
    ingest::v1::{Hello, SampleBatch, Status as Told, Totals, stream_batches_request::Message},
};

use crate::harness::{Agent, Server, batch, hello, near};

fn said(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

#[tokio::test]
async fn a_wrong_batch_is_refused_and_the_next_stream_goes_on() {
    let server = Server::start().await;
    let damages: [fn(&mut SampleBatch); 12] = [
        |b| b.flags.clear(),
        |b| b.connection = vec![9; 2],
        |b| b.connections[0].local = None,
        |b| b.sent_monotonic_ns -= 2_000_000_000,
        |b| b.sent_monotonic_ns += 700_000_000_000,
        |b| b.totals = None,
        |b| b.totals = Some(Totals::default()),
        |b| {
            b.totals =
                Some(Totals { emitted: u64::MAX, pending: u64::MAX - 4, ..Totals::default() });
        },
        |b| b.sent_before = u64::MAX,
        |b| {
            b.totals = Some(Totals {
                emitted: 3,
                lost: Some(Loss { ring: 1, ..Loss::default() }),
                ..Totals::default()
            });
        },
        |b| b.sequence = 3,
        |b| b.sequence = 0,
    ];
    let mut refusals = Vec::new();
    for damage in damages {
        let mut agent = Agent::connect(&server, hello("aws-a", 1, 1)).await;
        assert_eq!(agent.acked().await.ok(), Some(0));
        let mut damaged = batch(1, 0, &[near(1), near(2)]);
        damage(&mut damaged);
        refusals.push(said(&agent.batch(damaged).await.expect_err("refused")));
    }
    insta::assert_snapshot!(refusals.join("\n"), @r"
    InvalidArgument: flags has 0 entries where end_sequence has 2
    InvalidArgument: connection[0] names no entry of connections
    InvalidArgument: connections[0] has no local end
    InvalidArgument: sample 0 ends 1900040400 ns after sent_monotonic_ns, in the future
    InvalidArgument: sample 0 is 700 s old, beyond the 600 s that are kept
    InvalidArgument: totals are missing
    InvalidArgument: totals do not add up: emitted must be sent_before, this batch, lost.ring, lost.queue and pending together
    InvalidArgument: totals or sent_before count beyond 281474976710656
    InvalidArgument: totals or sent_before count beyond 281474976710656
    InvalidArgument: totals do not add up: emitted must be sent_before, this batch, lost.ring, lost.queue and pending together
    FailedPrecondition: sequence 3 came where 1 is next
    FailedPrecondition: sequence counts from 1
    ");
    let status = server.status().await;
    assert_eq!((status.refused, status.loss.expect("a report").emitted), (12, 0));
    // Given up by the agent, the refused batch leaves a gap that the next hello tells of.
    let mut agent = Agent::connect(&server, hello("aws-a", 1, 2)).await;
    assert_eq!(agent.acked().await.ok(), Some(1));
    let mut next = batch(2, 0, &[near(3)]);
    let lost = Loss { queue: 4, ..Loss::default() };
    next.totals = Some(Totals { emitted: 6, lost: Some(lost), ..Totals::default() });
    assert_eq!(agent.batch(next).await.ok(), Some(2));
    let loss = server.status().await.loss.expect("a report");
    assert_eq!((loss.emitted, loss.pending, loss.lost.expect("by reason").queue), (6, 2, 4));
}

#[tokio::test]
async fn a_wrong_hello_is_refused() {
    let server = Server::start().await;
    let damages: [fn(&mut Hello); 9] = [
        |h| h.agent_id.clear(),
        |h| h.agent_id = "x".repeat(254),
        |h| h.boot_id.push(1),
        |h| h.site = None,
        |h| h.site = Some(Site { node: "a\x1b[2J".into(), ..Site::default() }),
        |h| h.first_sequence = 0,
        |h| h.first_sequence = u64::MAX,
        |h| h.hooks = vec!["h".into(); 10_000],
        |h| h.predecessor = Some(xcloud_proto::ingest::v1::Predecessor::default()),
    ];
    let mut refusals = Vec::new();
    for damage in damages {
        let mut damaged = hello("aws-a", 1, 1);
        damage(&mut damaged);
        let mut agent = Agent::connect(&server, damaged).await;
        refusals.push(said(&agent.acked().await.expect_err("refused")));
    }
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    InvalidArgument: agent_id is empty
    InvalidArgument: agent_id has 254 bytes, more than 253
    InvalidArgument: boot_id has 17 bytes, not 16
    InvalidArgument: the hello names no site
    InvalidArgument: site.node has control or invisible characters: "a\u{1b}[2J"
    InvalidArgument: first_sequence is not in 1..=281474976710656
    InvalidArgument: first_sequence is not in 1..=281474976710656
    InvalidArgument: hooks take more than 65536 bytes
    InvalidArgument: predecessor.boot_id has 0 bytes, not 16
    "#);
    assert_eq!(server.status().await.known_agents, 0);
}

#[tokio::test]
async fn a_status_that_is_too_long_is_passed_over_and_the_stream_goes_on() {
    let server = Server::start().await;
    let mut agent = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    assert_eq!(agent.acked().await.ok(), Some(0));
    let pod = |why: usize| PodView {
        interface: "veth1".into(),
        place: PodPlace::Hidden.into(),
        why: "x".repeat(why),
    };
    let wrong = [
        Told { hooks: vec!["x".repeat(254)], ..Told::default() },
        Told { hooks: vec!["h".into(); 10_000], ..Told::default() },
        Told { pods: vec![pod(1025)], ..Told::default() },
        Told { pods: vec![pod(1024); 100], ..Told::default() },
        Told { uplink_addresses: vec![vec![1; 5]], ..Told::default() },
    ];
    agent.send(Message::Status(Told { pods: vec![pod(1024)], ..Told::default() })).await;
    for (sequence, told) in (1..).zip(wrong) {
        agent.send(Message::Status(told)).await;
        let sent_before = 2 * (sequence - 1);
        let next = batch(sequence, sent_before, &[near(u32::try_from(sequence).expect("few"))]);
        assert_eq!(agent.batch(next).await.ok(), Some(sequence));
    }
    let status = server.status().await;
    assert_eq!((status.refused, status.loss.expect("a report").pending), (5, 10));
    let pods = server.hub.read(|state| state.agents()[0].identity.pods.clone());
    assert_eq!(
        pods.iter().map(|pod| pod.why.len()).collect::<Vec<_>>(),
        [1024],
        "what held before"
    );
}

#[tokio::test]
async fn a_stage_profile_that_no_node_has_is_left_out_of_its_batch() {
    let server = Server::start().await;
    let mut agent = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    assert_eq!(agent.acked().await.ok(), Some(0));
    let of =
        |pods| StageProfile { pods: vec![PodStages::default(); pods], ..StageProfile::default() };
    let profiles = [of(2048), of(2049), of(2050)];
    for (sequence, profile) in (1..).zip(profiles) {
        let sample = near(u32::try_from(sequence).expect("few"));
        let told = batch(sequence, 2 * (sequence - 1), &[sample]);
        let told = SampleBatch { stage_profile: Some(profile), ..told };
        assert_eq!(agent.batch(told).await.ok(), Some(sequence));
    }
    let status = server.status().await;
    assert_eq!((status.refused, status.loss.expect("a report").pending), (2, 6));
    let kept = server.hub.stage_profiles(|_| true);
    let pods = kept[0].profile.as_ref().map(|profile| profile.pods.len());
    assert_eq!((kept.len(), pods), (1, Some(2048)), "the one before");
}

#[tokio::test]
async fn a_batch_without_hello_is_refused() {
    let server = Server::start().await;
    let mut agent = Agent::silent(&server).await;
    let refusal = agent.batch(batch(1, 0, &[near(1)])).await.expect_err("refused");
    assert_eq!(said(&refusal), "InvalidArgument: the first message must be a hello");
    server.status().await;
}

#[tokio::test]
async fn a_huge_message_is_refused() {
    let server = Server::start().await;
    let mut agent = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    assert_eq!(agent.acked().await.ok(), Some(0));
    let huge = SampleBatch { end_sequence: vec![1; 2_000_000], ..SampleBatch::default() };
    let refusal = agent.batch(huge).await.expect_err("refused");
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
    assert_eq!(server.status().await.refused, 1);
}

#[tokio::test]
async fn more_agents_than_fit_are_refused() {
    let server = Server::start().await;
    let mut open = Vec::new();
    for boot in 0..4 {
        let mut agent = Agent::connect(&server, hello(&format!("aws-{boot}"), boot, 1)).await;
        assert_eq!(agent.acked().await.ok(), Some(0));
        open.push(agent);
    }
    let mut agent = Agent::connect(&server, hello("aws-5", 5, 1)).await;
    let refusal = agent.acked().await.expect_err("refused");
    assert_eq!(said(&refusal), "ResourceExhausted: 4 agents are known already, no more fit");
}

#[tokio::test]
async fn a_newer_stream_of_the_same_agent_closes_the_older() {
    let server = Server::start().await;
    let mut older = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    assert_eq!(older.acked().await.ok(), Some(0));
    let mut newer = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    assert_eq!(newer.acked().await.ok(), Some(0));
    let closed = older.acked().await.expect_err("closed");
    assert_eq!(closed.code(), Code::Aborted);
    assert_eq!(newer.batch(batch(1, 0, &[near(1)])).await.ok(), Some(1));
    let status = server.status().await;
    assert_eq!((status.known_agents, status.connected_agents), (1, 1));
}

#[tokio::test]
async fn a_finished_life_does_not_come_back() {
    let server = Server::start().await;
    for boot in [1, 2] {
        let mut agent = Agent::connect(&server, hello("aws-a", boot, 1)).await;
        assert_eq!(agent.acked().await.ok(), Some(0));
    }
    let mut ghost = Agent::connect(&server, hello("aws-a", 1, 1)).await;
    let refusal = ghost.acked().await.expect_err("refused");
    assert_eq!(
        said(&refusal),
        "Aborted: agent \"aws-a\" has started again since: two agents may have this name"
    );
}
