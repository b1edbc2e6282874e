use proptest::{collection::vec, prelude::*};

use super::*;

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let mut all = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    decoder.decode(block, |name, value| all.push((text(name), text(value))))?;
    Ok(all)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn fields(all: &[(&str, &str)]) -> Result<Vec<(String, String)>, Malformed> {
    Ok(all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        all in vec(("[a-z-]{1,20}", "[ -~]{0,300}"), 0..20), first in "[1-5][0-9][0-9]"
    ) {
        let all: Vec<_> = std::iter::once((":status".to_owned(), first)).chain(all).collect();
        let mut block = Vec::new();
        all.iter().for_each(|(name, value)| encode(&mut block, name, value.as_bytes()));
        prop_assert_eq!(read(&mut Decoder::new(0), &block), Ok(all));
    }

    #[test]
    fn garbage_does_no_harm(blocks in vec(vec(any::<u8>(), 0..300), 1..5), limit in 0usize..5_000) {
        let mut decoder = Decoder::new(limit);
        for block in blocks {
            let _ = decoder.decode(&block, |name, value| assert!(name.len() + value.len() <= MOST_LIST));
            assert!(decoder.size <= limit, "{} of {limit}", decoder.size);
        }
    }
}

/// RFC 7541, appendix C.4: three requests on one connection, in the code of appendix B.
#[test]
fn the_rfcs_requests_are_read() {
    let mut decoder = Decoder::new(4_096);
    let common = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
    ];
    let first = hex("828684418cf1e3c2e5f23a6ba0ab90f4ff");
    assert_eq!(read(&mut decoder, &first), fields(&common));
    let second = hex("828684be5886a8eb10649cbf");
    assert_eq!(
        read(&mut decoder, &second),
        fields(&[&common[..], &[("cache-control", "no-cache")]].concat())
    );
    let third = hex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf");
    assert_eq!(
        read(&mut decoder, &third),
        fields(&[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            (":authority", "www.example.com"),
            ("custom-key", "custom-value"),
        ])
    );
    assert_eq!(decoder.size, 164);
}

/// RFC 7541, appendix C.6: three answers, and a table of 256 bytes that has to forget.
#[test]
fn the_rfcs_answers_are_read() {
    let mut decoder = Decoder::new(256);
    let first = hex(
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    );
    let (date, site) = ("Mon, 21 Oct 2013 20:13:21 GMT", "https://www.example.com");
    let rest = [("cache-control", "private"), ("date", date), ("location", site)];
    assert_eq!(read(&mut decoder, &first), fields(&[&[(":status", "302")], &rest[..]].concat()));
    assert_eq!(decoder.size, 222);
    let second = hex("4883640effc1c0bf");
    assert_eq!(read(&mut decoder, &second), fields(&[&[(":status", "307")], &rest[..]].concat()));
    assert_eq!((decoder.size, decoder.entries.len()), (222, 4));
}

#[test]
fn without_memory_nothing_is_remembered() {
    let mut decoder = Decoder::new(0);
    let kept = hex("4003612d620163");
    assert_eq!(read(&mut decoder, &kept), fields(&[("a-b", "c")]));
    assert_eq!(read(&mut decoder, &[0xbe]), Err(Malformed), "the first entry of an empty table");
}

#[test]
fn what_is_encoded_otherwise_is_refused() {
    for wrong in ["80", "ff", "ffffffffff7f", "3fe2ff03", "00", "0003612d", "40ff", "0083ffffff00"]
    {
        assert_eq!(read(&mut Decoder::new(4_096), &hex(wrong)), Err(Malformed), "{wrong}");
    }
}

#[test]
fn a_short_block_cannot_make_a_long_list() {
    let mut decoder = Decoder::new(4_096);
    let mut block = Vec::new();
    block.extend([0x40, 1, b'a', 0x7f, 0x80 | 33, 30]);
    block.extend(vec![b'x'; 127 + 33 + 30 * 128]);
    assert!(read(&mut decoder, &block).is_ok());
    assert_eq!(decoder.entries.len(), 1);
    assert_eq!(read(&mut decoder, &[0xbe; 20]), Err(Malformed));
}
