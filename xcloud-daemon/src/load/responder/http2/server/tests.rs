use proptest::{collection::vec, prelude::*};

use super::*;
use crate::load::{
    http::target,
    http2::{
        call::Call,
        link::Http2Link,
        reply::Kind,
        request::{Request, encode},
    },
    rate::{
        protocol::{Link as _, Next, Outcome},
        seconds,
        tally::Failure,
    },
};

const LIMITS: Limits =
    Limits { max_size: 200_000, max_delay_ns: 1_000_000_000, max_connections: 1 };

fn server() -> (Server, Frames) {
    (Server::new(LIMITS), Frames::default())
}

fn call(path: &str, kind: Kind, headers: &[&str], body: usize) -> Call {
    let url = target::parse("http://a/").expect("a URL");
    let headers: Vec<_> = headers.iter().map(|header| (*header).to_owned()).collect();
    let body = vec![b'x'; body];
    let request = Request { method: "POST", path, headers: &headers, body, kind, streams: 10 };
    encode(&url, request).expect("a request")
}

/// What both say to each other until neither says more.
fn talk(link: &mut Http2Link<'_>, server: &mut Server, frames: &mut Frames) -> Vec<Outcome> {
    let mut ends = Vec::new();
    loop {
        let asked = link.output().to_vec();
        link.wrote(asked.len());
        let asked = asked.strip_prefix(&crate::load::http2::frame::PREFACE).unwrap_or(&asked);
        assert_eq!(server.take(frames, asked), Ok(()));
        server.send_all();
        let answered = server.session.out.rest().to_vec();
        server.session.wrote(answered.len());
        assert_eq!(link.take(&answered, &mut ends), Next::Keep);
        if asked.is_empty() && answered.is_empty() {
            return ends.into_iter().map(|(_, outcome)| outcome).collect();
        }
    }
}

fn outcomes(call: &Call, count: u64) -> Vec<Outcome> {
    let (mut server, mut frames) = server();
    let mut link = Http2Link::new(call);
    for at in 0..count {
        link.begin(seconds::Request { intended_ns: at, sent_ns: at });
    }
    talk(&mut link, &mut server, &mut frames)
}

#[test]
fn our_client_and_our_server_understand_each_other() {
    use crate::load::grpc::{HEALTH, PAYLOAD};
    let page = Kind::Http { head_only: false };
    let done = vec![Outcome::Done; 3];
    assert_eq!(outcomes(&call("/payload?size=100000", page, &[], 100_000), 3), done);
    assert_eq!(outcomes(&call(HEALTH, Kind::Grpc, &[], 5), 3), done);
    let sized = ["xcloud-size: 150000"];
    assert_eq!(outcomes(&call(PAYLOAD, Kind::Grpc, &sized, 150_000), 3), done);
    assert_eq!(
        outcomes(&call(PAYLOAD, Kind::Grpc, &["xcloud-status: 14"], 5), 1),
        [Outcome::Grpc(14)]
    );
    assert_eq!(outcomes(&call("/a.B/C", Kind::Grpc, &[], 5), 1), [Outcome::Grpc(12)]);
    assert_eq!(outcomes(&call(PAYLOAD, Kind::Grpc, &[], 300_000), 1), [Outcome::Grpc(8)]);
    let large = call("/payload", page, &[], 300_000);
    assert_eq!(outcomes(&large, 1), [Outcome::Failed(Failure::Status)]);
}

#[test]
fn an_answer_waits_as_long_as_asked() {
    let call = call(crate::load::grpc::HEALTH, Kind::Grpc, &["xcloud-delay: 5ms"], 5);
    let (mut server, mut frames) = server();
    let mut link = Http2Link::new(&call);
    link.begin(seconds::Request { intended_ns: 0, sent_ns: 0 });
    assert_eq!(talk(&mut link, &mut server, &mut frames), []);
    assert_eq!(server.delays, [(5_000_000, 1)]);
    server.answer(1);
    assert_eq!(talk(&mut link, &mut server, &mut frames), [Outcome::Done]);
    assert!(server.streams.is_empty());
}

proptest! {
    #[test]
    fn garbage_does_no_harm(
        all in vec((0u8..11, any::<u8>(), 0u32..8, vec(any::<u8>(), 0..30)), 0..30), cut in 1usize..50
    ) {
        let (mut server, mut frames) = server();
        let settings = Head { length: 0, kind: kind::SETTINGS, flags: 0, stream: 0 };
        assert_eq!(server.take(&mut frames, &settings.encode()), Ok(()));
        let bytes: Vec<u8> = all
            .into_iter()
            .flat_map(|(kind, flags, stream, payload)| {
                let head = Head { length: payload.len(), kind, flags, stream };
                [&head.encode()[..], &payload].concat()
            })
            .collect();
        for part in bytes.chunks(cut) {
            if server.take(&mut frames, part).is_err() {
                break;
            }
            server.send_all();
        }
    }
}
