use proptest::{collection::vec, prelude::*};

use super::{
    super::{
        frame::{HEAD, Head, PREFACE, code, flag, kind},
        hpack,
        peer::{setting, settings},
        reply::Kind,
    },
    *,
};
use crate::load::rate::protocol::Outcome;

const PAGE: Kind = Kind::Http { head_only: false };

fn call(body: &[u8], streams: u32) -> Call {
    Call::new([(":method", &b"POST"[..])], body.into(), PAGE, streams).expect("short")
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = Head { length: payload.len(), kind, flags, stream };
    [&head.encode()[..], payload].concat()
}

fn answer(stream: u32) -> Vec<u8> {
    let mut block = Vec::new();
    hpack::encode(&mut block, ":status", b"200");
    frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block)
}

/// What the link writes, as frames.
fn written(link: &mut Http2Link<'_>) -> Vec<(u8, u32, Vec<u8>)> {
    let mut bytes = Vec::new();
    while !link.output().is_empty() {
        let count = link.output().len();
        bytes.extend_from_slice(link.output());
        link.wrote(count);
    }
    let mut rest = bytes.strip_prefix(&PREFACE).unwrap_or(&bytes);
    let mut all = Vec::new();
    while let Some((head, more)) = rest.split_first_chunk::<HEAD>() {
        let head = Head::decode(*head);
        let (payload, more) = more.split_at(head.length);
        all.push((head.kind, head.stream, payload.to_vec()));
        rest = more;
    }
    assert!(rest.is_empty());
    all
}

/// A link whose server has said this of itself.
fn settled<'a>(call: &'a Call, payload: &[u8]) -> Http2Link<'a> {
    let mut link = Http2Link::new(call);
    assert!(!link.settled());
    assert_eq!(take(&mut link, &frame(kind::SETTINGS, 0, 0, payload)), (Next::Keep, vec![]));
    assert!(link.settled());
    link
}

fn take(link: &mut Http2Link<'_>, bytes: &[u8]) -> (Next, Vec<(u64, Outcome)>) {
    let mut ends = Vec::new();
    let next = link.take(bytes, &mut ends);
    (next, ends.into_iter().map(|(request, outcome)| (request.sent_ns, outcome)).collect())
}

fn begin(link: &mut Http2Link<'_>, at: u64) {
    assert!(link.accepts());
    link.begin(Request { intended_ns: at, sent_ns: at });
}

#[test]
fn answers_find_their_requests_in_any_order() {
    let call = call(b"", 3);
    let mut link = settled(&call, &[]);
    (1..=3).for_each(|at| begin(&mut link, at));
    assert!(!link.accepts());
    let kinds: Vec<_> =
        written(&mut link).iter().map(|(kind, stream, _)| (*kind, *stream)).collect();
    let heads = [1, 3, 5].map(|stream| (kind::HEADERS, stream));
    let greeting = [(kind::SETTINGS, 0), (kind::WINDOW_UPDATE, 0), (kind::SETTINGS, 0)];
    assert_eq!(kinds, [&greeting[..], &heads].concat());
    let bytes = [answer(3), answer(5), answer(1)].concat();
    let done = [2, 3, 1].map(|at| (at, Outcome::Done)).to_vec();
    assert_eq!(take(&mut link, &bytes), (Next::Keep, done));
    assert!(link.accepts());
}

#[test]
fn the_server_says_how_many_streams_there_are() {
    let call = call(b"", 10);
    let mut link = settled(&call, &settings([(setting::MAX_CONCURRENT_STREAMS, 1)]));
    begin(&mut link, 1);
    assert!(!link.accepts());
    let more = frame(kind::SETTINGS, 0, 0, &settings([(setting::MAX_CONCURRENT_STREAMS, 2)]));
    assert_eq!(take(&mut link, &more), (Next::Keep, vec![]));
    assert!(link.accepts());
}

#[test]
fn a_body_waits_for_its_windows() {
    let call = call(&[b'x'; 100], 2);
    let mut link = settled(&call, &settings([(setting::INITIAL_WINDOW_SIZE, 10)]));
    begin(&mut link, 1);
    let sent = |link: &mut Http2Link<'_>| -> usize {
        let frames = written(link).into_iter().filter(|(kind, ..)| *kind == kind::DATA);
        frames.map(|(.., payload)| payload.len()).sum()
    };
    assert_eq!(sent(&mut link), 10);
    for (stream, more, then) in [(0, 1_000_u32, 0), (1, 30, 30), (1, 1_000, 60)] {
        let update = frame(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
        assert_eq!(take(&mut link, &update).0, Next::Keep);
        assert_eq!(sent(&mut link), then);
    }
    let narrower = frame(kind::SETTINGS, 0, 0, &settings([(setting::INITIAL_WINDOW_SIZE, 0)]));
    assert_eq!(take(&mut link, &narrower).0, Next::Keep);
    begin(&mut link, 2);
    assert_eq!(sent(&mut link), 0);
    // An answer before the whole request: the rest is not owed any more.
    assert_eq!(take(&mut link, &answer(3)), (Next::Keep, vec![(2, Outcome::Done)]));
    assert_eq!(written(&mut link), [(kind::RST_STREAM, 3, code::CANCEL.to_be_bytes().to_vec())]);
}

#[test]
fn what_the_server_refuses_is_told_apart() {
    let call = call(b"", 10);
    let mut link = settled(&call, &[]);
    (1..=4).for_each(|at| begin(&mut link, at));
    let reset = |stream, code: u32| frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
    let (_, ends) =
        take(&mut link, &[reset(1, code::REFUSED_STREAM), reset(3, code::CANCEL)].concat());
    let failed = [(1, Failure::Refused), (2, Failure::Reset)];
    assert_eq!(ends, failed.map(|(at, why)| (at, Outcome::Failed(why))));
    let away = frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 5, 0, 0, 0, 0]);
    let (next, ends) = take(&mut link, &away);
    assert_eq!((next, ends), (Next::Keep, vec![(4, Outcome::Failed(Failure::Goaway))]));
    assert!(!link.accepts());
    let last = take(&mut link, &answer(5));
    assert_eq!(last, (Next::Close(Failure::Goaway), vec![(3, Outcome::Done)]));
    link.reset();
    assert!(link.accepts() && !link.settled());
}

#[test]
fn what_takes_too_long_is_cancelled_and_its_answer_ignored() {
    let call = call(b"", 10);
    let mut link = settled(&call, &[]);
    (1..=3).for_each(|at| begin(&mut link, at));
    written(&mut link);
    let mut ends = Vec::new();
    assert_eq!(link.expire(2, &mut ends), Next::Keep);
    assert!(ends.iter().all(|(_, outcome)| *outcome == Outcome::Failed(Failure::Timeout)));
    assert_eq!(ends.len(), 2);
    assert_eq!(written(&mut link).len(), 2);
    let late = [answer(1), answer(3), answer(5)].concat();
    assert_eq!(take(&mut link, &late), (Next::Keep, vec![(3, Outcome::Done)]));
}

#[test]
fn what_has_no_place_ends_the_connection() {
    let page = call(b"", 10);
    for wrong in [
        answer(7),
        answer(2),
        frame(kind::DATA, 0, 7, b"x"),
        frame(kind::PUSH_PROMISE, 0, 1, &[0; 8]),
        frame(kind::PING, 0, 0, b"short"),
        frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
        frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        frame(kind::SETTINGS, 0, 1, &[]),
        frame(kind::RST_STREAM, 0, 1, b"123"),
        frame(kind::HEADERS, flag::END_HEADERS, 1, &[0xbe]),
        [frame(kind::HEADERS, 0, 1, &[0x88]), frame(kind::PING, 0, 0, b"12345678")].concat(),
    ] {
        let mut link = settled(&page, &[]);
        begin(&mut link, 1);
        assert_eq!(take(&mut link, &wrong), (Next::Close(Failure::Protocol), vec![]), "{wrong:?}");
    }
    let mut link = Http2Link::new(&page);
    assert_eq!(take(&mut link, b"HTTP/1.1 400 Bad Request\r\n").0, Next::Close(Failure::Protocol));
}

#[test]
fn pings_are_answered_but_not_without_end() {
    let call = call(b"", 1);
    let mut link = settled(&call, &[]);
    written(&mut link);
    let ping = frame(kind::PING, 0, 0, b"12345678");
    assert_eq!(take(&mut link, &ping).0, Next::Keep);
    assert_eq!(written(&mut link), [(kind::PING, 0, b"12345678".to_vec())]);
    let flood = ping.repeat(1_000);
    let taken = (0..1_000).take_while(|_| take(&mut link, &flood).0 == Next::Keep).count();
    assert!((1..100).contains(&taken), "{taken}");
}

/// What may happen on a connection.
#[derive(Clone, Debug)]
enum Event {
    Begin,
    Bytes(Vec<u8>),
    Expire(u64),
    Write(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let payload = prop_oneof![
        vec(any::<u8>(), 0..20),
        Just(vec![0x88]),
        (0u32..100).prop_map(|more| more.to_be_bytes().into()),
        (0u32..50, 1u16..6).prop_map(|(value, id)| settings([(id, value)])),
    ];
    let frames =
        (0u8..11, any::<u8>(), 0u32..8, payload).prop_map(|(kind, flags, stream, payload)| {
            Event::Bytes(frame(kind, flags, stream, &payload))
        });
    prop_oneof![
        4 => Just(Event::Begin),
        8 => frames,
        1 => vec(any::<u8>(), 0..100).prop_map(Event::Bytes),
        1 => (0u64..50).prop_map(Event::Expire),
        4 => (0usize..200).prop_map(Event::Write),
    ]
}

proptest! {
    /// Whatever a server does, each request ends once.
    #[test]
    fn every_request_is_accounted_for(events in vec(event(), 0..60), body in 0usize..50, cut in 1usize..50) {
        let call = call(&vec![b'x'; body], 3);
        let mut link = settled(&call, &[]);
        let (mut begun, mut ends) = (0, Vec::new());
        for event in events {
            let mut next = Next::Keep;
            match event {
                Event::Begin if link.accepts() => {
                    begun += 1;
                    link.begin(Request { intended_ns: begun, sent_ns: begun });
                }
                Event::Begin => {}
                Event::Bytes(bytes) => {
                    let mut nexts = bytes.chunks(cut).map(|part| link.take(part, &mut ends));
                    next = nexts.find(|next| *next != Next::Keep).unwrap_or(Next::Keep);
                }
                Event::Expire(at) => next = link.expire(at, &mut ends),
                Event::Write(most) => {
                    let count = link.output().len().min(most);
                    link.wrote(count);
                }
            }
            if let Next::Close(why) = next {
                link.give_up(why, &mut ends);
                link.reset();
            }
        }
        link.give_up(Failure::Reset, &mut ends);
        let mut ended: Vec<_> = ends.iter().map(|(request, _)| request.sent_ns).collect();
        ended.sort_unstable();
        prop_assert_eq!(ended, (1..=begun).collect::<Vec<_>>());
    }
}
