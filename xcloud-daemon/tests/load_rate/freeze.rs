//! Whoever stands still, it shows where it should.

use std::{thread, time::Duration};

use nix::sys::signal::Signal;

use crate::harness::{Responder, count, finish, quantile_ms, send, start};

fn sleep(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

#[test]
fn a_server_frozen_in_the_middle_is_in_the_response_times() {
    let responder = Responder::start();
    let load = start(&format!("http {} -R 1000 -c 50 -d 8s", responder.url("size=10")));
    sleep(3_000);
    send(Signal::SIGSTOP, &responder.child);
    sleep(2_000);
    send(Signal::SIGCONT, &responder.child);
    let trial = finish(load);
    assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (8_000, 8_000));
    // A hundredth of eight seconds' requests waited for all of the freeze but 80 ms.
    let p99 = quantile_ms(&trial, "response", 0.99);
    assert!((1_700..2_600).contains(&p99), "{p99} ms");
    // From the real send time only the fifty that were under way did: fewer than one in a hundred.
    let service = quantile_ms(&trial, "service", 0.99);
    assert!(service < 1_000, "{service} ms");
    assert!(
        trial.warnings.iter().any(|line| line.contains("free connection")),
        "{:?}",
        trial.warnings
    );
}

#[test]
fn a_server_frozen_over_the_end_is_not_forgotten() {
    let responder = Responder::start();
    let load = start(&format!("http {} -R 500 -c 50 -d 4s --drain 1s", responder.url("size=10")));
    sleep(2_500);
    send(Signal::SIGSTOP, &responder.child);
    let trial = finish(load);
    send(Signal::SIGCONT, &responder.child);
    assert_eq!(count(&trial, "scheduled"), 2_000);
    let unfinished = count(&trial, "unfinished");
    assert!(unfinished >= 50, "{unfinished}");
    assert_eq!(trial.histograms["response"].censored, unfinished);
    // Frozen for about 2.5 s when waiting ended.
    let p99 = quantile_ms(&trial, "response", 0.99);
    assert!((1_200..4_000).contains(&p99), "{p99} ms");
    assert!(trial.warnings.iter().any(|line| line.contains("no answer")), "{:?}", trial.warnings);
}

#[test]
fn calls_that_share_a_connection_all_wait_for_a_frozen_server() {
    let responder = Responder::start();
    let address = responder.address;
    let load = start(&format!("grpc http://{address} -R 500 -c 2 -s 10 -d 6s"));
    sleep(2_500);
    send(Signal::SIGSTOP, &responder.child);
    sleep(1_500);
    send(Signal::SIGCONT, &responder.child);
    let trial = finish(load);
    assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (3_000, 3_000));
    let p99 = quantile_ms(&trial, "response", 0.99);
    assert!((1_200..2_200).contains(&p99), "{p99} ms");
    let service = quantile_ms(&trial, "service", 0.99);
    assert!(service < 1_000, "{service} ms");
}

#[test]
fn calls_under_way_when_a_server_freezes_for_good_are_unfinished() {
    let responder = Responder::start();
    let address = responder.address;
    let load = start(&format!("grpc http://{address} -R 200 -c 2 -s 20 -d 3s --drain 500ms"));
    sleep(2_000);
    send(Signal::SIGSTOP, &responder.child);
    let trial = finish(load);
    send(Signal::SIGCONT, &responder.child);
    assert_eq!(count(&trial, "scheduled"), 600);
    let unfinished = count(&trial, "unfinished");
    assert!(unfinished >= 40, "{unfinished}");
    assert_eq!(trial.histograms["response"].censored, unfinished);
}

#[test]
fn a_stalled_generator_is_late_by_its_own_account() {
    let responder = Responder::start();
    let load = start(&format!("http {} -R 500 -c 50 -d 4s", responder.url("size=10")));
    sleep(1_500);
    send(Signal::SIGSTOP, &load);
    sleep(1_000);
    send(Signal::SIGCONT, &load);
    let trial = finish(load);
    assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (2_000, 2_000));
    let late = quantile_ms(&trial, "generator_lateness", 0.99);
    assert!((700..2_500).contains(&late), "{late} ms");
    let told = trial.warnings.iter().any(|line| line.contains("the generator itself was late"));
    assert!(told, "{:?}", trial.warnings);
}

#[test]
fn an_interrupted_run_accounts_for_what_it_did() {
    let responder = Responder::start();
    let load = start(&format!("http {} -R 500 -c 5 -d 60s", responder.url("size=10&delay=50ms")));
    sleep(1_500);
    send(Signal::SIGINT, &load);
    let trial = finish(load);
    assert!((10..5_000).contains(&count(&trial, "scheduled")), "{:?}", trial.metrics);
    assert!(trial.warnings[0].starts_with("stopped after"), "{:?}", trial.warnings);
}
