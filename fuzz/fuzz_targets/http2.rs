//! Whatever a server of HTTP/2 sends, every request on its connection ends once, and what is kept of it is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xcloud::load::{
    http2::{call::Call, link::Http2Link, reply::Kind},
    rate::{
        protocol::{Link as _, Next},
        seconds::Request,
        tally::Failure,
    },
};

/// Settings without any, so that what follows is looked at.
const GREETING: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fuzz_target!(|input: (bool, u8, u8, Vec<&[u8]>)| {
    let (grpc, body, streams, parts) = input;
    let kind = if grpc { Kind::Grpc } else { Kind::Http { head_only: false } };
    let fields = [(":method", &b"POST"[..])];
    let call = Call::new(fields, vec![b'x'; body.into()], kind, u32::from(streams).max(1));
    let call = call.expect("short");
    let mut link = Http2Link::new(&call);
    let (mut begun, mut ends) = (0, Vec::new());
    assert_eq!(link.take(GREETING, &mut ends), Next::Keep);
    for part in parts {
        while link.accepts() {
            begun += 1;
            link.begin(Request { intended_ns: begun, sent_ns: begun });
        }
        if let Next::Close(why) = link.take(part, &mut ends) {
            link.give_up(why, &mut ends);
            link.reset();
        }
        let count = link.output().len().min(50);
        link.wrote(count);
    }
    link.give_up(Failure::Reset, &mut ends);
    let mut ended: Vec<_> = ends.iter().map(|(request, _)| request.sent_ns).collect();
    ended.sort_unstable();
    assert_eq!(ended, (1..=begun).collect::<Vec<_>>());
});
