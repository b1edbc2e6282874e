//! Who is there and who plays, by hand.

use std::time::Duration;

use xcloud_proto::loadtest::v1::{Ended, LoadEndpoint};

use super::*;
use crate::loadtest::{attendee::tests::hello, spec::Kind};

fn with(names: &[&str]) -> (Registry, Vec<Ticket>, Vec<mpsc::Receiver<AttendResponse>>) {
    let (mut registry, mut receivers) = (Registry::default(), Vec::new());
    let tickets = names.iter().map(|name| {
        let (orders, receiver) = mpsc::channel(ORDERS);
        receivers.push(receiver);
        registry.join(attendee(hello(name, name)), orders).expect("room")
    });
    let tickets = tickets.collect();
    (registry, tickets, receivers)
}

fn attendee(hello: LoadEndpoint) -> Attendee {
    Attendee::read(hello).expect("sound")
}

fn spec(from: &str, to: &str) -> Spec {
    Spec {
        from: from.into(),
        to: to.into(),
        duration: Duration::from_secs(1),
        name: "stamp".into(),
        kind: Kind::Probes { interval: Duration::from_millis(10), flows: 1 },
    }
}

fn test(id: &str, seconds: i64) -> LoadTest {
    let created = Some(prost_types::Timestamp { seconds, nanos: 0 });
    let state = LoadTestState::Starting.into();
    LoadTest { id: id.into(), state, created, ..LoadTest::default() }
}

fn end(registry: &mut Registry, id: &str) {
    registry.turn(id, |test| test.set_state(LoadTestState::Done)).expect("a test");
}

fn busy(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Busy(_))
}

#[test]
fn a_path_and_an_endpoint_are_busy_until_the_test_ends() {
    let (mut registry, ..) = with(&["a", "b", "c"]);
    registry.start(&spec("a", "b"), test("1", 1)).expect("free");
    for (from, to) in [("a", "b"), ("b", "a"), ("b", "c"), ("c", "a")] {
        let refusal = registry.start(&spec(from, to), test("2", 2)).expect_err("busy");
        assert!(busy(&refusal), "{refusal:?}");
    }
    let nobody = registry.start(&spec("a", "d"), test("2", 2)).expect_err("nobody");
    assert!(matches!(nobody, Refusal::Unknown(_)), "{nobody:?}");
    registry.turn("1", |test| test.set_state(LoadTestState::Running));
    assert!(registry.start(&spec("b", "c"), test("2", 2)).is_err_and(|refusal| busy(&refusal)));
    end(&mut registry, "1");
    registry.start(&spec("c", "a"), test("2", 2)).expect("free again");
}

#[test]
fn two_endpoints_of_one_site_share_its_path() {
    let (mut registry, ..) = with(&["a", "b"]);
    for (name, site) in [("a2", "a"), ("b2", "b")] {
        let (orders, _) = mpsc::channel(ORDERS);
        let second = LoadEndpoint { name: name.into(), ..hello(site, site) };
        registry.join(attendee(second), orders).expect("room");
    }
    registry.start(&spec("a", "b"), test("1", 1)).expect("free");
    let refusal = registry.start(&spec("b2", "a2"), test("2", 2)).expect_err("busy");
    assert_eq!(refusal, Refusal::Busy("test 1 runs on this path".into()));
}

#[test]
fn reports_go_to_the_test_that_their_endpoint_plays_in() {
    let (mut registry, tickets, _orders) = with(&["a", "b", "c"]);
    let mut started = registry.start(&spec("a", "b"), test("1", 1)).expect("free");
    let [a, b, c] = [0, 1, 2].map(|at| registry.reports(&tickets[at], "1"));
    assert!(c.is_none() && registry.reports(&tickets[0], "2").is_none());
    b.expect("plays").try_send(News::Ended(Ended {})).expect("room");
    assert!(started.to.reports.try_recv().is_ok() && started.from.reports.try_recv().is_err());
    drop(a);
    end(&mut registry, "1");
    assert!(registry.reports(&tickets[0], "1").is_none());
}

#[test]
fn a_newer_stream_takes_the_seat_and_the_older_gives_back_nothing() {
    let (mut registry, tickets, _orders) = with(&["a"]);
    let (orders, _) = mpsc::channel(ORDERS);
    let newer = registry.join(attendee(hello("a", "a")), orders).expect("room");
    assert!(tickets[0].gone.is_cancelled() && !newer.gone.is_cancelled());
    registry.leave(&tickets[0]);
    assert_eq!(registry.attendees().count(), 1);
    registry.leave(&newer);
    assert_eq!(registry.attendees().count(), 0);
}

#[test]
fn the_oldest_are_forgotten_but_none_that_runs() {
    let (mut registry, ..) = with(&["a", "b", "c", "d"]);
    registry.start(&spec("a", "b"), test("1", 1)).expect("free");
    for (id, seconds) in [("2", 2), ("3", 3), ("4", 4)] {
        registry.start(&spec("c", "d"), test(id, seconds)).expect("free");
        end(&mut registry, id);
    }
    assert_eq!(registry.forget(1), ["3", "2"]);
    let left: Vec<_> = registry.tests(10).into_iter().map(|test| test.id).collect();
    assert_eq!(left, ["4", "1"]);
    assert!(registry.watch("2").is_err() && registry.cancel("2").is_err());
}

#[test]
fn who_watches_hears_every_change_and_the_end() {
    let (mut registry, ..) = with(&["a", "b"]);
    registry.start(&spec("a", "b"), test("1", 1)).expect("free");
    let (_, news) = registry.watch("1").expect("a test");
    let mut news = news.expect("it runs");
    registry.progress("1", "half".into());
    end(&mut registry, "1");
    let told = |news: &mut broadcast::Receiver<WatchLoadTestResponse>| {
        news.try_recv().expect("news").news.expect("something")
    };
    assert_eq!(told(&mut news), Watched::Progress("half".into()));
    assert!(matches!(told(&mut news), Watched::Test(test) if has_ended(&test)));
    assert_eq!(news.try_recv(), Err(broadcast::error::TryRecvError::Closed));
    assert!(registry.watch("1").expect("known").1.is_none());
}
