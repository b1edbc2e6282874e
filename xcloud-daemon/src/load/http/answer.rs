//! Reads answers of HTTP/1.1. The server may be anybody: heads are bounded, bodies are counted and not kept, and only
//! time bounds how long a body is.

use super::chunked::Chunked;
use crate::load::rate::turns::{Answer, Progress};

/// Most bytes of an answer's head.
const MOST_HEAD: usize = 64 << 10;
/// Most fields of a head.
const MOST_FIELDS: usize = 128;
/// Most interim answers before the real one.
const MOST_INTERIM: u8 = 8;

/// Reads the answers of one connection.
#[derive(Debug)]
pub struct HttpAnswer {
    /// Requests ask for heads only.
    head_only: bool,
    /// The part of a head that came before the rest.
    partial: Vec<u8>,
    interim: u8,
    body: Body,
    success: bool,
    keep: bool,
}

/// What is to come.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// A head.
    Head,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// Everything until the server hangs up.
    UntilEnd,
}

/// What a head says.
struct Head {
    status: u16,
    keep: bool,
    body: Body,
}

impl HttpAnswer {
    /// A reader; answers to HEAD have no body, whatever they say.
    #[must_use]
    pub const fn new(head_only: bool) -> Self {
        Self {
            head_only,
            partial: Vec::new(),
            interim: 0,
            body: Body::Head,
            success: false,
            keep: false,
        }
    }

    /// Takes bytes from the beginning of a head on.
    fn head(&mut self, bytes: &[u8]) -> Progress {
        if self.partial.is_empty() {
            return self.parse(bytes);
        }
        let before = self.partial.len();
        if before + bytes.len() > MOST_HEAD && !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
            return Progress::Garbage;
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(bytes);
        self.parse(&whole)
    }

    fn parse(&mut self, bytes: &[u8]) -> Progress {
        let mut rest = bytes;
        loop {
            let Ok(parsed) = parse(rest, self.head_only) else {
                return Progress::Garbage;
            };
            let Some((length, head)) = parsed else {
                if rest.len() > MOST_HEAD {
                    return Progress::Garbage;
                }
                self.partial.clear();
                self.partial.extend_from_slice(rest);
                return Progress::More;
            };
            rest = &rest[length..];
            if !(100..200).contains(&head.status) {
                self.partial.clear();
                self.success = (200..400).contains(&head.status);
                self.keep = head.keep;
                self.body = head.body;
                return self.body(rest);
            }
            self.interim += 1;
            // A server that switches protocols was not asked to.
            if head.status == 101 || self.interim > MOST_INTERIM {
                return Progress::Garbage;
            }
        }
    }

    fn body(&mut self, bytes: &[u8]) -> Progress {
        match &mut self.body {
            Body::Head => Progress::Garbage,
            Body::Length(left) => {
                let here = bytes.len() as u64;
                if here < *left {
                    *left -= here;
                    return Progress::More;
                }
                let exact = here == *left;
                self.done(exact)
            }
            Body::Chunked(chunked) => match chunked.take(bytes) {
                Ok(None) => Progress::More,
                Ok(Some(used)) => self.done(used == bytes.len()),
                Err(()) => Progress::Garbage,
            },
            Body::UntilEnd => Progress::More,
        }
    }

    /// A connection on which more came than was asked for takes no further request.
    const fn done(&self, exact: bool) -> Progress {
        Progress::Done { success: self.success, reusable: self.keep && exact }
    }
}

impl Answer for HttpAnswer {
    fn begin(&mut self, _id: u64) {
        self.partial.clear();
        self.interim = 0;
        self.body = Body::Head;
    }

    fn take(&mut self, bytes: &[u8]) -> Progress {
        match self.body {
            Body::Head => self.head(bytes),
            _ => self.body(bytes),
        }
    }

    fn end(&mut self) -> Progress {
        match self.body {
            Body::UntilEnd => Progress::Done { success: self.success, reusable: false },
            _ => Progress::Short,
        }
    }
}

/// The head that bytes begin with and its length; `None` if it is not complete.
fn parse(bytes: &[u8], head_only: bool) -> Result<Option<(usize, Head)>, ()> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let length = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(()),
    };
    let status = answer.code.ok_or(())?;
    let mut keep = answer.version == Some(1);
    let (mut size, mut coded) = (None, None);
    for field in answer.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let new = number(field.value)?;
            if size.is_some_and(|old| old != new) {
                return Err(());
            }
            size = Some(new);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            coded = Some(last_word(field.value).eq_ignore_ascii_case(b"chunked"));
        } else if field.name.eq_ignore_ascii_case("connection") {
            for word in field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if word.eq_ignore_ascii_case(b"close") {
                    keep = false;
                } else if word.eq_ignore_ascii_case(b"keep-alive") && answer.version == Some(0) {
                    keep = true;
                }
            }
        }
    }
    let body = match (coded, size) {
        _ if head_only || matches!(status, 100..200 | 204 | 304) => Body::Length(0),
        // Two lengths are how answers are smuggled past each other.
        (Some(_), Some(_)) => return Err(()),
        (Some(true), None) => Body::Chunked(Chunked::new()),
        (Some(false), None) | (None, None) => Body::UntilEnd,
        (None, Some(size)) => Body::Length(size),
    };
    Ok(Some((length, Head { status, keep, body })))
}

fn number(value: &[u8]) -> Result<u64, ()> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(());
    }
    std::str::from_utf8(digits).map_err(drop)?.parse().map_err(drop)
}

fn last_word(value: &[u8]) -> &[u8] {
    value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests;
