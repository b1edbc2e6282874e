//! Servers of HTTP/2 that do what they should not: every request is accounted for all the same.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use xcloud::{
    load::http2::{
        frame::{HEAD, Head, PREFACE, code, flag, kind},
        hpack::encode,
        peer::{setting, settings},
    },
    result::Trial,
};

use crate::harness::{count, load, server, xcloud};

const OK: (&str, &str) = (":status", "200");
const WHOLE: u8 = flag::END_HEADERS | flag::END_STREAM;

/// A server's end of a connection, which has greeted.
struct Http2(TcpStream);

impl Http2 {
    fn new(mut stream: TcpStream, own: &[u8]) -> Option<Self> {
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).ok()?;
        assert_eq!(preface, PREFACE);
        let mut new = Self(stream);
        new.send(kind::SETTINGS, 0, 0, own)?;
        Some(new)
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Option<()> {
        let head = Head { length: payload.len(), kind, flags, stream };
        self.0.write_all(&[&head.encode()[..], payload].concat()).ok()
    }

    fn fields(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) -> Option<()> {
        let mut block = Vec::new();
        fields.iter().for_each(|(name, value)| encode(&mut block, name, value.as_bytes()));
        self.send(kind::HEADERS, flags, stream, &block)
    }

    /// The next frame; `None` once there is none.
    fn next(&mut self) -> Option<(Head, Vec<u8>)> {
        let mut head = [0; HEAD];
        self.0.read_exact(&mut head).ok()?;
        let head = Head::decode(head);
        let mut payload = vec![0; head.length];
        self.0.read_exact(&mut payload).ok()?;
        Some((head, payload))
    }

    /// The next stream that a request begins on.
    fn request(&mut self) -> Option<u32> {
        loop {
            let (head, _) = self.next()?;
            if head.kind == kind::HEADERS {
                return Some(head.stream);
            }
        }
    }
}

/// A server that does this about each request: connection, stream, and how many there were before on the connection.
fn answering(
    own: &[u8],
    answer: impl Fn(&mut Http2, u32, usize) -> Option<()> + Clone + Send + 'static,
) -> SocketAddr {
    let own = own.to_vec();
    server(move |stream| {
        let Some(mut http2) = Http2::new(stream, &own) else {
            return;
        };
        for before in 0.. {
            let done = http2.request().and_then(|stream| answer(&mut http2, stream, before));
            if done.is_none() {
                return;
            }
        }
    })
}

/// 50 calls of such a server.
fn called(answer: impl Fn(&mut Http2, u32, usize) -> Option<()> + Clone + Send + 'static) -> Trial {
    let address = answering(&[], answer);
    load(&format!("grpc http://{address} -R 100 -c 5 -s 2 -d 500ms --timeout 2s --drain 3s"))
}

#[test]
fn who_speaks_something_else_is_told_before_the_start() {
    let address = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0; 100]);
    });
    let output = xcloud(&format!("grpc http://{address} -d 1s")).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("it answers, but not in this protocol"), "{said}");
}

#[test]
fn garbage_is_a_failure_of_the_protocol() {
    for bytes in [
        &b"\xff\xff\xff garbage, and more of it"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\xbe",
        b"\x00\x00\x00\x05\x04\x00\x00\x00\x01",
    ] {
        let trial = called(move |http2, _, _| http2.0.write_all(bytes).ok());
        assert_eq!(count(&trial, "failed_protocol"), 50, "{bytes:?}: {:?}", trial.metrics);
    }
}

#[test]
fn an_answer_that_is_none_of_grpc_is_a_failure_of_the_protocol() {
    for body in [&b""[..], b"\0\0\0", b"\0\0\0\0\x05ab", b"\0\0\0\0\x01abc", b"\x01\0\0\0\0"] {
        let trial = called(move |http2, stream, _| {
            http2.fields(stream, flag::END_HEADERS, &[OK])?;
            http2.send(kind::DATA, 0, stream, body)?;
            http2.fields(stream, WHOLE, &[("grpc-status", "0")])
        });
        assert_eq!(count(&trial, "failed_protocol"), 50, "{body:?}: {:?}", trial.metrics);
    }
}

#[test]
fn a_page_shorter_or_longer_than_it_says_is_a_failure_of_the_protocol() {
    for body in [&b"a"[..], b"abc"] {
        let address = answering(&[], move |http2, stream, _| {
            http2.fields(stream, flag::END_HEADERS, &[OK, ("content-length", "2")])?;
            http2.send(kind::DATA, flag::END_STREAM, stream, body)
        });
        let trial = load(&format!("http http://{address}/ --http2 -R 100 -c 5 -d 500ms"));
        assert_eq!(count(&trial, "failed_protocol"), 50, "{:?}", trial.metrics);
    }
}

#[test]
fn streams_that_are_refused_or_reset_are_told_apart() {
    let trial = called(|http2, stream, before| {
        let code = if before % 2 == 0 { code::REFUSED_STREAM } else { code::CANCEL };
        http2.send(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
    });
    let failed = (count(&trial, "failed_refused"), count(&trial, "failed_reset"));
    assert_eq!((failed.0 + failed.1, failed.0 > 0, failed.1 > 0), (50, true, true), "{failed:?}");
    assert_eq!(count(&trial, "reconnects"), 0);
}

#[test]
fn a_server_that_goes_away_is_called_again() {
    let trial = called(|http2, stream, before| {
        let last = stream.saturating_sub(2).to_be_bytes();
        if before % 4 == 3 {
            return http2.send(kind::GOAWAY, 0, 0, &[&last[..], &[0; 4]].concat());
        }
        http2.fields(stream, flag::END_HEADERS, &[OK])?;
        http2.send(kind::DATA, 0, stream, b"\0\0\0\0\0")?;
        http2.fields(stream, WHOLE, &[("grpc-status", "0")])
    });
    let (done, gone) = (count(&trial, "done"), count(&trial, "failed_goaway"));
    assert_eq!(done + gone, 50, "{:?}", trial.metrics);
    assert!(done > 0 && gone > 0 && count(&trial, "reconnects") > 0, "{:?}", trial.metrics);
}

#[test]
fn a_server_that_hangs_up_resets_what_was_under_way() {
    // At the second request: a last one may have nobody to be second.
    let trial = called(|_, _, before| (before < 1).then_some(()));
    let (reset, alone) = (count(&trial, "failed_reset"), count(&trial, "failed_timeout"));
    assert!(reset + alone == 50 && reset >= 40, "{:?}", trial.metrics);
}

#[test]
fn silence_times_out_and_counts_with_its_age() {
    let address = answering(&[], |_, _, _| Some(()));
    let trial = load(&format!("grpc http://{address} -R 50 -c 2 -s 25 -d 1s --timeout 300ms"));
    assert_eq!(count(&trial, "failed_timeout"), 50);
    assert_eq!(trial.histograms["response"].censored, 50);
}

#[test]
fn a_window_of_a_few_bytes_is_kept_to() {
    let own = settings([(setting::INITIAL_WINDOW_SIZE, 10)]);
    let address = answering(&own, |http2, stream, _| {
        let (mut room, mut got) = (10, 0);
        while got < 5 + 300 {
            let (head, payload) = http2.next()?;
            if head.kind != kind::DATA {
                continue;
            }
            got += payload.len();
            assert!(payload.len() <= room, "{} bytes into a window of {room}", payload.len());
            room -= payload.len();
            if room == 0 {
                room = 50;
                http2.send(kind::WINDOW_UPDATE, 0, stream, &50_u32.to_be_bytes())?;
                http2.send(kind::WINDOW_UPDATE, 0, 0, &50_u32.to_be_bytes())?;
            }
        }
        http2.fields(stream, flag::END_HEADERS, &[OK])?;
        http2.send(kind::DATA, 0, stream, b"\0\0\0\0\0")?;
        http2.fields(stream, WHOLE, &[("grpc-status", "0")])
    });
    let trial = load(&format!("grpc http://{address} -r 300,0 -R 50 -c 5 -d 1s"));
    assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (50, 50));
}

#[test]
fn headers_without_end_are_a_failure_of_the_protocol() {
    let trial = called(|http2, stream, _| {
        http2.fields(stream, 0, &[OK])?;
        for _ in 0..100 {
            http2.send(kind::CONTINUATION, 0, stream, &[0; 1_000])?;
        }
        Some(())
    });
    assert_eq!(count(&trial, "failed_protocol"), 50, "{:?}", trial.metrics);
    let trial = called(|http2, stream, _| {
        let long = "x".repeat(16_000);
        http2.fields(stream, 0, &[OK, ("a", &long)])?;
        let mut block = Vec::new();
        encode(&mut block, "b", long.as_bytes());
        for _ in 0..6 {
            http2.send(kind::CONTINUATION, 0, stream, &block)?;
        }
        http2.send(kind::CONTINUATION, flag::END_HEADERS, stream, &block)
    });
    assert_eq!(count(&trial, "failed_protocol"), 50, "{:?}", trial.metrics);
}

#[test]
fn endless_bodies_and_pings_end() {
    for (kind, payload) in [(kind::DATA, &[0; 1_000][..]), (kind::PING, &[0; 8])] {
        let address = answering(&[], move |http2, stream, _| {
            http2.fields(stream, flag::END_HEADERS, &[OK])?;
            let stream = if kind == kind::DATA { stream } else { 0 };
            loop {
                http2.send(kind, 0, stream, payload)?;
                thread::sleep(Duration::from_micros(200));
            }
        });
        let words = "-R 20 -c 4 -d 500ms --timeout 1s --drain 3s";
        let trial = load(&format!("http http://{address}/ --http2 {words}"));
        assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (10, 0), "{kind}");
    }
}

#[test]
fn no_more_streams_are_opened_than_the_server_takes() {
    let own = settings([(setting::MAX_CONCURRENT_STREAMS, 2)]);
    let address = answering(&own, |http2, stream, before| {
        // Two that wait for an answer; a third before one came would break the rule.
        if before % 2 == 0 {
            return Some(());
        }
        http2.0.set_read_timeout(Some(Duration::from_millis(100))).ok()?;
        let early = http2.next().is_some_and(|(head, _)| head.kind == kind::HEADERS);
        assert!(!early, "a third stream");
        http2.0.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        http2.fields(stream - 2, WHOLE, &[OK])?;
        http2.fields(stream, WHOLE, &[OK])
    });
    let trial = load(&format!("http http://{address}/ --http2 -c 1 -s 10 -R 40 -d 500ms"));
    assert_eq!(
        (count(&trial, "scheduled"), count(&trial, "done")),
        (20, 20),
        "{:?}",
        trial.metrics
    );
}
