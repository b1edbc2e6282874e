//! Bytes to requests. They come from anybody.

use std::time::Duration;

use super::{Limits, Reply, Wanted};
use crate::load::{
    http2::frame::PREFACE,
    rate::timer::nanoseconds,
    rr::frame::{ASK, Ask, MAGIC},
};

/// Most bytes of a request's head.
pub(super) const MOST_HEAD: usize = 16 << 10;
const MOST_FIELDS: usize = 64;
const TOO_LARGE: u16 = 413;

/// What bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// Not a whole request.
    More,
    /// A request, and the length of its head.
    Request(usize, Wanted),
    /// The preface of HTTP/2.
    Http2,
    /// None that is understood.
    Garbage,
}

/// The request that bytes begin with.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Parsed {
    let parsed = if bytes.starts_with(&MAGIC) {
        Ask::decode(bytes).map_or(Parsed::More, |(ask, id)| frame(&ask, id, limits))
    } else if bytes.starts_with(&PREFACE) {
        Parsed::Http2
    } else if MAGIC.starts_with(bytes) || PREFACE.starts_with(bytes) {
        Parsed::More
    } else {
        http(bytes, limits)
    };
    if parsed == Parsed::More && bytes.len() >= MOST_HEAD { Parsed::Garbage } else { parsed }
}

fn frame(ask: &Ask, id: u64, limits: &Limits) -> Parsed {
    let Ask { payload, answer, delay_ns, status } = *ask;
    let fine = answer <= limits.max_size && delay_ns <= limits.max_delay_ns;
    let close = payload > limits.max_size;
    let wanted = if fine && !close {
        Wanted {
            delay_ns,
            skip: payload.into(),
            answer: Reply::Frame { status, payload: answer, id },
            close,
        }
    } else {
        let answer = Reply::Frame { status: TOO_LARGE, payload: 0, id };
        let skip = if close { 0 } else { payload.into() };
        Wanted { delay_ns: 0, skip, answer, close }
    };
    Parsed::Request(ASK, wanted)
}

fn http(bytes: &[u8], limits: &Limits) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::More,
        Err(_) => return Parsed::Garbage,
    };
    let (mut skip, mut close) = (0, request.version != Some(1));
    for field in request.headers.iter() {
        let value = std::str::from_utf8(field.value).unwrap_or_default().trim();
        if field.name.eq_ignore_ascii_case("content-length") {
            match value.parse() {
                Ok(length) if length <= u64::from(limits.max_size) => skip = length,
                _ => return refused(length, TOO_LARGE),
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return refused(length, 411);
        } else if field.name.eq_ignore_ascii_case("connection") {
            close |= value.eq_ignore_ascii_case("close");
        }
    }
    let head = request.method == Some("HEAD");
    let (status, payload, delay_ns) = match wish(request.path.unwrap_or_default(), limits) {
        Ok(wish) => wish,
        Err(status) => (status, 0, 0),
    };
    let answer = Reply::Http { status, payload, head };
    Parsed::Request(length, Wanted { delay_ns, skip, answer, close })
}

/// The answer to a request whose body cannot be told from the next request.
fn refused(length: usize, status: u16) -> Parsed {
    let answer = Reply::Http { status, payload: 0, head: false };
    Parsed::Request(length, Wanted { delay_ns: 0, skip: 0, answer, close: true })
}

/// Status, size and delay that a path asks for, or the status that refuses it.
pub(super) fn wish(path: &str, limits: &Limits) -> Result<(u16, u32, u64), u16> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path != "/payload" {
        return Err(404);
    }
    let (mut status, mut size, mut delay) = (200, 1, Duration::ZERO);
    for (name, value) in query.split('&').filter_map(|part| part.split_once('=')) {
        match name {
            "size" => size = value.parse().map_err(|_| 400u16)?,
            "delay" => delay = humantime::parse_duration(value).map_err(|_| 400u16)?,
            "status" => {
                let wanted = value.parse().ok().filter(|status| (200..600).contains(status));
                status = wanted.ok_or(400u16)?;
            }
            _ => return Err(400),
        }
    }
    let delay_ns = nanoseconds(delay);
    if size > limits.max_size || delay_ns > limits.max_delay_ns {
        return Err(TOO_LARGE);
    }
    Ok((status, size, delay_ns))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const LIMITS: Limits =
        Limits { max_size: 1_000, max_delay_ns: 1_000_000_000, max_connections: 1 };

    fn wanted(bytes: &[u8]) -> Wanted {
        match parse(bytes, &LIMITS) {
            Parsed::Request(_, wanted) => wanted,
            other => panic!("{other:?}"),
        }
    }

    fn get(path: &str) -> Wanted {
        wanted(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
    }

    fn http(status: u16, payload: u32) -> Reply {
        Reply::Http { status, payload, head: false }
    }

    #[test]
    fn a_path_says_what_is_wanted() {
        let all = get("/payload?size=10&delay=5ms&status=503");
        assert_eq!((all.answer, all.delay_ns), (http(503, 10), 5_000_000));
        assert_eq!(get("/payload").answer, http(200, 1));
        assert_eq!(get("/other").answer, http(404, 0));
        for wrong in ["size=x", "delay=1", "status=100", "status=999", "sise=1"] {
            assert_eq!(get(&format!("/payload?{wrong}")).answer, http(400, 0), "{wrong}");
        }
    }

    #[test]
    fn limits_hold_in_both_protocols() {
        assert_eq!(get("/payload?size=1001").answer, http(413, 0));
        assert_eq!(get("/payload?delay=2s").answer, http(413, 0));
        let long = wanted(b"POST /payload HTTP/1.1\r\nContent-Length: 1001\r\n\r\n");
        assert_eq!((long.answer, long.close), (http(413, 0), true));
        let chunked = wanted(b"POST /payload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!((chunked.answer, chunked.close), (http(411, 0), true));
        let refused = Reply::Frame { status: 413, payload: 0, id: 5 };
        let ask = Ask { payload: 1, answer: 1, delay_ns: 1, status: 0 };
        for wrong in [
            Ask { answer: 1_001, ..ask },
            Ask { delay_ns: u64::MAX, ..ask },
            Ask { payload: 1_001, ..ask },
        ] {
            assert_eq!(wanted(&wrong.encode(5)).answer, refused, "{wrong:?}");
        }
        let fine = wanted(&ask.encode(5));
        assert_eq!(fine.answer, Reply::Frame { status: 0, payload: 1, id: 5 });
        assert_eq!((fine.skip, fine.delay_ns), (1, 1));
    }

    proptest! {
        #[test]
        fn garbage_does_no_harm(bytes in vec(any::<u8>(), 0..300), framed: bool) {
            let begun = if framed { MAGIC.to_vec() } else { b"GET /payload?".to_vec() };
            let _ = parse(&[begun, bytes].concat(), &LIMITS);
        }
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let endless = [b"GET /".to_vec(), vec![b'x'; MOST_HEAD]].concat();
        assert_eq!(parse(&endless, &LIMITS), Parsed::Garbage);
        assert_eq!(parse(&endless[..100], &LIMITS), Parsed::More);
        assert_eq!(parse(b"xc", &LIMITS), Parsed::More);
        assert_eq!(parse(&PREFACE[..20], &LIMITS), Parsed::More);
        assert_eq!(parse(&PREFACE, &LIMITS), Parsed::Http2);
    }
}
