use proptest::{collection::vec, prelude::*};

use super::{
    super::hpack::{Decoder, encode},
    *,
};

const PAGE: Kind = Kind::Http { head_only: false };
const GARBAGE: Option<Outcome> = Some(Outcome::Failed(Failure::Protocol));
const FAILED: Option<Outcome> = Some(Outcome::Failed(Failure::Status));
const DONE: Option<Outcome> = Some(Outcome::Done);

/// A part of an answer.
enum Part<'a> {
    Fields(&'a [(&'a str, &'a str)]),
    Data(&'a [u8]),
}
use Part::{Data, Fields as Names};

/// What an answer of these parts comes to; the last one ends it.
fn read(kind: Kind, parts: &[Part<'_>]) -> Option<Outcome> {
    let (mut reply, mut decoder) = (Reply::default(), Decoder::new(0));
    parts.iter().enumerate().find_map(|(index, part)| {
        let end = index + 1 == parts.len();
        match part {
            Data(bytes) => reply.data(bytes, end, kind),
            Names(all) => {
                let mut block = Vec::new();
                all.iter().for_each(|(name, value)| encode(&mut block, name, value.as_bytes()));
                reply.fields(&block, end, kind, &mut decoder).expect("well encoded")
            }
        }
    })
}

const OK: Part<'_> = Names(&[(":status", "200"), ("content-type", "application/grpc")]);
const END: Part<'_> = Names(&[("grpc-status", "0")]);

#[test]
fn a_call_is_done_with_one_whole_message_and_status_0() {
    assert_eq!(read(Kind::Grpc, &[OK, Data(b"\0\0\0\0\x02ab"), END]), DONE);
    assert_eq!(read(Kind::Grpc, &[OK, Data(b"\0\0\0"), Data(b"\0\x02a"), Data(b"b"), END]), DONE);
    assert_eq!(read(Kind::Grpc, &[OK, Data(b"\0\0\0\0\0"), END]), DONE);
    for wrong in [
        &b""[..],
        b"\0\0\0\0",
        b"\0\0\0\0\x02a",
        b"\0\0\0\0\x02abc",
        b"\x01\0\0\0\x01a",
        b"\0\0\0\0\0\0\0\0\0\0",
    ] {
        assert_eq!(read(Kind::Grpc, &[OK, Data(wrong), END]), GARBAGE, "{wrong:?}");
    }
    assert_eq!(read(Kind::Grpc, &[OK, Data(b"\0\0\0\0\0")]), GARBAGE, "no status");
}

#[test]
fn other_statuses_fail_the_call_by_number() {
    let alone = |status| read(Kind::Grpc, &[Names(&[(":status", "200"), ("grpc-status", status)])]);
    assert_eq!(alone("14"), Some(Outcome::Grpc(14)));
    assert_eq!(alone("1000"), Some(Outcome::Grpc(255)));
    assert_eq!(alone("0"), GARBAGE, "no message");
    for wrong in ["", "-1", "x", "99999999999999999999999"] {
        assert_eq!(alone(wrong), GARBAGE, "{wrong:?}");
    }
    let late = Names(&[("grpc-status", "8")]);
    assert_eq!(read(Kind::Grpc, &[OK, Data(b"\0\0\0\0\x02a"), late]), Some(Outcome::Grpc(8)));
    assert_eq!(read(Kind::Grpc, &[Names(&[(":status", "503")]), Data(b"no")]), FAILED);
}

#[test]
fn a_page_is_as_long_as_it_says() {
    let two = || Names(&[(":status", "200"), ("content-length", "2")]);
    assert_eq!(read(PAGE, &[two(), Data(b"a"), Data(b"b")]), DONE);
    assert_eq!(read(PAGE, &[two(), Data(b"ab"), Names(&[("x", "y")])]), DONE);
    assert_eq!(read(PAGE, &[two(), Data(b"a")]), GARBAGE);
    assert_eq!(read(PAGE, &[two(), Data(b"abc")]), GARBAGE);
    assert_eq!(read(PAGE, &[two()]), GARBAGE);
    assert_eq!(read(Kind::Http { head_only: true }, &[two()]), DONE);
    assert_eq!(read(PAGE, &[Names(&[(":status", "304"), ("content-length", "2")])]), DONE);
    assert_eq!(read(PAGE, &[Names(&[(":status", "404")]), Data(b"x")]), FAILED);
    assert_eq!(read(PAGE, &[Names(&[(":status", "103")]), two(), Data(b"ab")]), DONE);
}

#[test]
fn parts_in_a_wrong_order_are_garbage() {
    assert_eq!(read(PAGE, &[Data(b"a"), OK]), GARBAGE);
    assert_eq!(read(PAGE, &[OK, OK]), GARBAGE);
    assert_eq!(read(PAGE, &[OK, Names(&[("a", "b")]), Data(b"a")]), GARBAGE, "after trailers");
    assert_eq!(read(PAGE, &[Names(&[("a", "b")])]), GARBAGE, "no status");
    assert_eq!(read(PAGE, &[Names(&[(":status", "200"), (":status", "200")])]), GARBAGE);
    assert_eq!(read(PAGE, &[Names(&[(":status", "103")])]), GARBAGE, "an interim one is no answer");
    let endless: Vec<_> = (0..10).map(|_| Names(&[(":status", "103")])).collect();
    assert_eq!(read(PAGE, &endless), GARBAGE);
    for wrong in ["", "20", "999", "2000", "+200", "abc"] {
        assert_eq!(read(PAGE, &[Names(&[(":status", wrong)])]), GARBAGE, "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn a_message_is_whole_however_it_is_cut(message in vec(any::<u8>(), 0..300), size in 1usize..100) {
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        let body = [&[0], &length[..], &message].concat();
        let parts: Vec<_> = std::iter::once(OK).chain(body.chunks(size).map(Data)).chain([END]).collect();
        prop_assert_eq!(read(Kind::Grpc, &parts), DONE);
        let cut: Vec<_> = std::iter::once(OK).chain(body[..body.len() - 1].chunks(size).map(Data)).chain([END]).collect();
        prop_assert_eq!(read(Kind::Grpc, &cut), GARBAGE);
    }
}
