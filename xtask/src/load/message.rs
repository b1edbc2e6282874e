//! What goes over a connection.

use std::io::{self, Read, Write};

use super::LoadKind;

const RR_REQUEST: usize = 200;
const BODY: usize = 1000;
/// A head longer than this is not ours.
const LONGEST_HEAD: usize = 8192;

/// Writes one request.
pub(crate) fn write_request(kind: LoadKind, to: &mut impl Write) -> io::Result<()> {
    match kind {
        LoadKind::Rr | LoadKind::Bulk => to.write_all(&[b'q'; RR_REQUEST]),
        LoadKind::Http => to.write_all(
            b"GET /items?page=1 HTTP/1.1\r\nhost: shop.lab\r\nuser-agent: xcloud-lab\r\n\
              accept: application/json\r\n\r\n",
        ),
    }
}

/// Reads one request; `false` when the other side is done.
pub(crate) fn read_request(kind: LoadKind, from: &mut impl Read) -> io::Result<bool> {
    let read = match kind {
        LoadKind::Rr | LoadKind::Bulk => from.read_exact(&mut [0; RR_REQUEST]),
        LoadKind::Http => read_head(from).map(|_| ()),
    };
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes one response, in one call, so that it leaves as one segment.
pub(crate) fn write_response(kind: LoadKind, to: &mut impl Write) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(BODY + 128);
    if kind == LoadKind::Http {
        write!(
            bytes,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {BODY}\r\n\r\n"
        )?;
    }
    bytes.resize(bytes.len() + BODY, b'a');
    to.write_all(&bytes)
}

/// Reads one response.
pub(crate) fn read_response(kind: LoadKind, from: &mut impl Read) -> io::Result<()> {
    let length = match kind {
        LoadKind::Rr | LoadKind::Bulk => BODY,
        LoadKind::Http => content_length(&read_head(from)?)?,
    };
    let mut body = vec![0; length];
    from.read_exact(&mut body)
}

fn read_head(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(256);
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == LONGEST_HEAD {
            return Err(io::Error::other("head of an HTTP message too long"));
        }
        from.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

fn content_length(head: &[u8]) -> io::Result<usize> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .ok_or_else(|| io::Error::other("response without content-length"))?;
    match value.trim().parse() {
        Ok(length) if length <= 1 << 20 => Ok(length),
        _ => Err(io::Error::other(format!("content-length {value:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_round_trip() {
        for kind in [LoadKind::Rr, LoadKind::Http] {
            let mut bytes = Vec::new();
            write_request(kind, &mut bytes).unwrap();
            let mut from = bytes.as_slice();
            assert!(read_request(kind, &mut from).unwrap());
            assert!(!read_request(kind, &mut from).unwrap());
            let mut bytes = Vec::new();
            write_response(kind, &mut bytes).unwrap();
            let mut from = bytes.as_slice();
            read_response(kind, &mut from).unwrap();
            assert!(from.is_empty());
        }
    }

    #[test]
    fn hostile_heads_are_refused() {
        let endless = [b'x'; 10_000];
        assert!(read_request(LoadKind::Http, &mut endless.as_slice()).is_err());
        let huge = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
        assert!(read_response(LoadKind::Http, &mut huge.as_slice()).is_err());
    }
}
