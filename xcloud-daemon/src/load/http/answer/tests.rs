use proptest::{collection::vec, prelude::*};

use super::*;

const OK: Progress = Progress::Done { success: true, reusable: true };
const LAST: Progress = Progress::Done { success: true, reusable: false };

/// What becomes of bytes that come in pieces of `cut`, and then of the end of the connection.
fn read(bytes: &[u8], cut: usize, head_only: bool) -> Progress {
    let mut answer = HttpAnswer::new(head_only);
    answer.begin(1);
    for piece in bytes.chunks(cut) {
        match answer.take(piece) {
            Progress::More => {}
            other => return other,
        }
    }
    answer.end()
}

fn each_cut(bytes: &[u8], wanted: Progress) {
    for cut in [1, 2, 3, 7, 20, bytes.len()] {
        assert_eq!(
            read(bytes, cut, false),
            wanted,
            "{:?} by {cut}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn every_way_to_delimit_a_body_is_understood() {
    each_cut(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", OK);
    each_cut(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", OK);
    each_cut(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        OK,
    );
    each_cut(b"HTTP/1.1 204 No Content\r\n\r\n", OK);
    each_cut(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", OK);
    each_cut(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", LAST);
    each_cut(b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\na", LAST);
    each_cut(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", LAST);
    each_cut(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", OK);
    each_cut(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", OK);
    each_cut(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", OK);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    assert_eq!(read(head, 5, true), OK);
}

#[test]
fn a_status_of_failure_is_no_success() {
    for status in [400, 404, 500, 503] {
        let text = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
        each_cut(text.as_bytes(), Progress::Done { success: false, reusable: true });
    }
}

#[test]
fn a_body_that_ends_early_is_short() {
    each_cut(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", Progress::Short);
    each_cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", Progress::Short);
    each_cut(b"HTTP/1.1 200 OK\r\nContent-", Progress::Short);
}

#[test]
fn more_than_was_promised_ends_the_connection() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc";
    assert_eq!(read(bytes, bytes.len(), false), LAST);
}

#[test]
fn what_is_no_http_is_refused() {
    each_cut(b"SSH-2.0-OpenSSH_9.2\r\n", Progress::Garbage);
    each_cut(b"HTTP/2.0 200 OK\r\n\r\n", Progress::Garbage);
    each_cut(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Progress::Garbage);
    each_cut(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", Progress::Garbage);
    each_cut(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        Progress::Garbage,
    );
    let both =
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    each_cut(both, Progress::Garbage);
    each_cut(b"HTTP/1.1 101 Switching\r\n\r\n", Progress::Garbage);
    assert_eq!(read(&b"HTTP/1.1 100 Go on\r\n\r\n".repeat(20), 4096, false), Progress::Garbage);
}

#[test]
fn an_endless_head_is_cut_off() {
    let endless = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    assert_eq!(read(&endless, 4096, false), Progress::Garbage);
    let many = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n".repeat(10_000)].concat();
    assert_eq!(read(&many, 4096, false), Progress::Garbage);
}

proptest! {
    #[test]
    fn garbage_does_no_harm(bytes in vec(any::<u8>(), 0..2_000), cut in 1usize..100, head: bool) {
        let _ = read(&bytes, cut, head);
        let begun = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), bytes].concat();
        let _ = read(&begun, cut, head);
    }

    #[test]
    fn an_answer_ends_at_the_same_byte_however_it_is_cut(body in vec(any::<u8>(), 0..500), cut in 1usize..50) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        prop_assert_eq!(read(&[head.into_bytes(), body].concat(), cut, false), OK);
    }
}
