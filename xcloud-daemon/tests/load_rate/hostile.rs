//! Servers that do what they should not: every request is accounted for all the same.

use std::{
    io::Write as _,
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use xcloud::result::Trial;

use crate::harness::{MS, count, load, request, server, xcloud};

/// 50 requests to a server that answers each with these bytes and hangs up.
fn answered_with(bytes: &'static [u8]) -> Trial {
    let address = server(move |mut stream| {
        if request(&mut stream).is_some() {
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(Shutdown::Write);
            // Until the other side hangs up too, lest a reset overtakes the answer.
            let _ = request(&mut stream);
        }
    });
    load(&format!("http http://{address}/ -R 100 -c 5 -d 500ms --timeout 2s --drain 3s"))
}

#[test]
fn garbage_is_a_failure_of_the_protocol() {
    for bytes in [
        &b"\x00\x01\x02\xff\xfe garbage\r\n\r\n"[..],
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ] {
        let trial = answered_with(bytes);
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(count(&trial, "failed_protocol"), 50, "{text:?}: {:?}", trial.metrics);
    }
}

#[test]
fn an_answer_cut_short_is_a_reset() {
    for bytes in [&b""[..], b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab"] {
        let trial = answered_with(bytes);
        assert_eq!(count(&trial, "failed_reset"), 50, "{:?}", trial.metrics);
    }
}

#[test]
fn silence_times_out_and_counts_with_its_age() {
    let address = server(|mut stream| while request(&mut stream).is_some() {});
    let trial = load(&format!("http http://{address}/ -R 50 -c 50 -d 1s --timeout 300ms"));
    assert_eq!(count(&trial, "failed_timeout"), 50);
    let response = &trial.histograms["response"];
    assert_eq!(response.censored, 50);
    assert!(response.censored_from_ns.is_some_and(|least| least >= 300 * MS), "{response:?}");
}

#[test]
fn endless_heads_and_bodies_end() {
    for (begin, more) in [("HTTP/1.1 200 OK\r\nA: ", "aaaa"), ("HTTP/1.1 200 OK\r\n\r\n", "body")] {
        let address = server(move |mut stream| {
            let _ = request(&mut stream);
            let _ = stream.write_all(begin.as_bytes());
            while stream.write_all(more.repeat(1_000).as_bytes()).is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        let trial =
            load(&format!("http http://{address}/ -R 20 -c 4 -d 500ms --timeout 1s --drain 3s"));
        assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (10, 0), "{begin:?}");
    }
}

#[test]
fn a_server_that_dies_leaves_refused_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let streams: Vec<TcpStream> = listener.incoming().take(4).flatten().collect();
        drop(listener);
        thread::sleep(Duration::from_millis(500));
        drop(streams);
    });
    let trial = load(&format!("http http://{address}/ -R 100 -c 4 -d 2s --drain 1s"));
    assert_eq!(count(&trial, "scheduled"), 200);
    assert!(count(&trial, "failed_connect") > 50, "{:?}", trial.metrics);
    assert_eq!(count(&trial, "done"), 0);
}

#[test]
fn nobody_to_talk_to_is_said_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port");
    let output = xcloud(&format!("http http://{address}/ -d 1s")).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("connecting to {address}: Connection refused")), "{said}");
}

#[test]
fn datagrams_that_nobody_answers_are_accounted_for() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("bound");
    let words = format!("udp-rr {address} -R 100 -c 100 -d 500ms --timeout 200ms");
    assert_eq!(count(&load(&words), "failed_timeout"), 50);
    drop(silent);
    let trial = load(&words);
    let refused = count(&trial, "failed_connect");
    assert!(refused > 0 && count(&trial, "done") == 0, "{:?}", trial.metrics);
}
