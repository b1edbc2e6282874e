//! Servers that do what they should.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::harness::{Responder, count, load, quantile_ms, request, server};

/// By how much a busy machine may delay an answer beyond the delay that was injected.
const MOST_LATE_MS: u64 = 80;

#[test]
fn a_known_distribution_of_delays_is_recovered() {
    let turn = Arc::new(AtomicUsize::new(0));
    let address = server(move |mut stream| {
        while request(&mut stream).is_some() {
            let delay = match turn.fetch_add(1, Ordering::Relaxed) % 100 {
                0..50 => 100,
                50..90 => 200,
                90..98 => 400,
                _ => 800,
            };
            thread::sleep(Duration::from_millis(delay));
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    });
    let trial = load(&format!("http http://{address}/ -R 200 -c 200 -d 4s"));
    assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (800, 800));
    for (quantile, delay) in [(0.25, 100), (0.7, 200), (0.94, 400), (0.99, 800)] {
        let measured = quantile_ms(&trial, "response", quantile);
        let bounds = delay..delay + MOST_LATE_MS;
        assert!(bounds.contains(&measured), "{quantile}: {measured} ms is not in {bounds:?}");
    }
}

#[test]
fn a_request_says_what_the_responder_does() {
    let responder = Responder::start();
    let trial =
        load(&format!("http {} -R 200 -c 20 -d 1s", responder.url("size=100000&delay=20ms")));
    assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (200, 200));
    let fastest = quantile_ms(&trial, "service", 0.0);
    assert!((20..20 + MOST_LATE_MS).contains(&fastest), "{fastest} ms");
    let trial = load(&format!("http {} -R 200 -c 5 -d 1s", responder.url("status=503")));
    assert_eq!((count(&trial, "failed_status"), count(&trial, "done")), (200, 0));
}

#[test]
fn frames_travel_over_all_transports() {
    let responder = Responder::start();
    let address = responder.address;
    for (test, size) in [("rr", "10,100000"), ("crr", "1,1"), ("udp-rr", "10,1000")] {
        let words = format!("{test} {address} -r {size} -R 200 -c 20 -d 1s --delay 10ms");
        let trial = load(&words);
        assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (200, 200), "{words}");
        let fastest = quantile_ms(&trial, "service", 0.0);
        assert!((10..10 + MOST_LATE_MS).contains(&fastest), "{words}: {fastest} ms");
        let trial = load(&format!("{test} {address} --status 7 -R 50 -c 2 -d 500ms"));
        assert_eq!(count(&trial, "failed_status"), 25, "{test}");
    }
}

#[test]
fn a_closed_loop_sends_as_fast_as_it_is_answered() {
    let responder = Responder::start();
    let trial = load(&format!("http {} -c 5 -d 1s", responder.url("delay=100ms")));
    // Five connections, each answered at most ten times a second.
    let done = count(&trial, "done");
    assert!((5..=50).contains(&done), "{done}");
    assert_eq!(count(&trial, "scheduled"), done);
}

#[test]
fn a_server_that_hangs_up_after_each_answer_is_called_again() {
    let responder = Responder::start();
    let url = responder.url("size=10");
    let output = crate::harness::xcloud(&format!("http {url} -R 200 -c 5 -d 1s -o json"))
        .args(["-H", "Connection: close"])
        .output()
        .expect("the binary runs");
    let trial = crate::harness::trials(&output).remove(0);
    assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (200, 200));
    assert_eq!(count(&trial, "reconnects"), 195);
}
