//! From the fields of a request to what is answered. They come from anybody.

use std::time::Duration;

use super::super::{Limits, request::wish};
use crate::load::{
    grpc::{HEALTH, PAYLOAD, metadata},
    http2::hpack::encode,
    rate::timer::nanoseconds,
};

/// Message of a health check that says SERVING.
const SERVING: [u8; 2] = [8, 1];

/// Statuses of gRPC.
const INVALID_ARGUMENT: u8 = 3;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;

/// What a request asks for, as far as its fields say.
#[derive(Debug, Default)]
pub(super) struct Ask {
    head: bool,
    grpc: bool,
    path: String,
    size: Option<String>,
    delay: Option<String>,
    status: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Of HTTP; the payload is left out where the method or the status wants none.
    Page { status: u16, payload: u32, head: bool },
    /// Of gRPC, with a message of these bytes and so many more.
    Call { message: Vec<u8>, payload: u32 },
    /// Of gRPC, with a status that is not 0.
    Refusal { status: u8 },
}

impl Ask {
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(value).into_owned();
        match name {
            b":method" => self.head = value == b"HEAD",
            b":path" => self.path = text(),
            b"content-type" => self.grpc = value.starts_with(b"application/grpc"),
            _ if name == metadata::SIZE.as_bytes() => self.size = Some(text()),
            _ if name == metadata::DELAY.as_bytes() => self.delay = Some(text()),
            _ if name == metadata::STATUS.as_bytes() => self.status = Some(text()),
            _ => {}
        }
    }

    /// The answer, and how long to wait before it.
    pub(super) fn answer(&self, limits: &Limits) -> (Answer, u64) {
        if self.grpc {
            return self.call(limits).unwrap_or_else(|status| (Answer::Refusal { status }, 0));
        }
        let (status, payload, delay_ns) = match wish(&self.path, limits) {
            Ok(wish) => wish,
            Err(status) => (status, 0, 0),
        };
        (Answer::Page { status, payload, head: self.head }, delay_ns)
    }

    /// The answer to a request that is longer than allowed.
    pub(super) fn too_large(&self) -> Answer {
        match self.grpc {
            true => Answer::Refusal { status: RESOURCE_EXHAUSTED },
            false => Answer::Page { status: 413, payload: 0, head: self.head },
        }
    }

    fn call(&self, limits: &Limits) -> Result<(Answer, u64), u8> {
        let payload = match self.path.as_str() {
            HEALTH => None,
            PAYLOAD => {
                Some(self.size.as_deref().unwrap_or("0").parse().map_err(|_| INVALID_ARGUMENT)?)
            }
            _ => return Err(UNIMPLEMENTED),
        };
        let delay = self.delay.as_deref().map_or(Ok(Duration::ZERO), humantime::parse_duration);
        let delay_ns = nanoseconds(delay.map_err(|_| INVALID_ARGUMENT)?);
        let status = self.status.as_deref().unwrap_or("0").parse().map_err(|_| INVALID_ARGUMENT)?;
        if payload > Some(limits.max_size) || delay_ns > limits.max_delay_ns {
            return Err(RESOURCE_EXHAUSTED);
        }
        let answer = match (status, payload) {
            (1.., _) => Answer::Refusal { status },
            (0, None) => Answer::Call { message: SERVING.into(), payload: 0 },
            (0, Some(payload)) => Answer::Call { message: Vec::new(), payload },
        };
        Ok((answer, delay_ns))
    }
}

impl Answer {
    /// Fields before the body.
    pub(super) fn fields(&self) -> Vec<u8> {
        let mut block = Vec::new();
        let mut put = |name, value: &str| encode(&mut block, name, value.as_bytes());
        match self {
            Self::Page { status, payload, .. } => {
                put(":status", &status.to_string());
                put("content-length", &payload.to_string());
            }
            Self::Call { .. } => {
                put(":status", "200");
                put("content-type", "application/grpc");
            }
            Self::Refusal { status } => {
                put(":status", "200");
                put("content-type", "application/grpc");
                put("grpc-status", &status.to_string());
            }
        }
        block
    }

    /// The body: these bytes and so many more.
    pub(super) fn body(&self) -> (Vec<u8>, u32) {
        match self {
            Self::Page { head: true, .. } | Self::Page { status: 204 | 304, .. } => (Vec::new(), 0),
            Self::Page { payload, .. } => (Vec::new(), *payload),
            Self::Call { message, payload } => {
                let length = u32::try_from(message.len()).unwrap_or(0) + payload;
                ([&[0], &length.to_be_bytes()[..], message].concat(), *payload)
            }
            Self::Refusal { .. } => (Vec::new(), 0),
        }
    }

    /// Fields after the body, if there are any.
    pub(super) fn trailers(&self) -> Option<Vec<u8>> {
        matches!(self, Self::Call { .. }).then(|| {
            let mut block = Vec::new();
            encode(&mut block, "grpc-status", b"0");
            block
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { max_size: 1_000, max_delay_ns: 1_000_000_000, max_connections: 1 };

    fn call(path: &str, fields: &[(&str, &str)]) -> (Answer, u64) {
        let mut ask = Ask::default();
        ask.take(b":path", path.as_bytes());
        ask.take(b"content-type", b"application/grpc+proto");
        fields.iter().for_each(|(name, value)| ask.take(name.as_bytes(), value.as_bytes()));
        ask.answer(&LIMITS)
    }

    #[test]
    fn metadata_says_what_is_wanted() {
        let healthy = Answer::Call { message: SERVING.into(), payload: 0 };
        assert_eq!(call(HEALTH, &[]), (healthy.clone(), 0));
        assert_eq!(healthy.body().0, [0, 0, 0, 0, 2, 8, 1]);
        let sized = call(PAYLOAD, &[(metadata::SIZE, "10"), (metadata::DELAY, "5ms")]);
        assert_eq!(sized, (Answer::Call { message: Vec::new(), payload: 10 }, 5_000_000));
        let failed = call(HEALTH, &[(metadata::STATUS, "14")]);
        assert_eq!(failed, (Answer::Refusal { status: 14 }, 0));
    }

    #[test]
    fn what_is_not_answered_is_refused_by_number() {
        let refused = |path, name, value| call(path, &[(name, value)]).0;
        let status = |status| Answer::Refusal { status };
        assert_eq!(refused("/a.B/C", "a", "b"), status(UNIMPLEMENTED));
        assert_eq!(refused(PAYLOAD, metadata::SIZE, "1001"), status(RESOURCE_EXHAUSTED));
        assert_eq!(refused(PAYLOAD, metadata::DELAY, "2s"), status(RESOURCE_EXHAUSTED));
        for (name, value) in
            [(metadata::SIZE, "x"), (metadata::DELAY, "1"), (metadata::STATUS, "256")]
        {
            assert_eq!(refused(PAYLOAD, name, value), status(INVALID_ARGUMENT), "{name}");
        }
    }

    #[test]
    fn pages_are_asked_for_as_in_http_1() {
        let mut ask = Ask::default();
        ask.take(b":path", b"/payload?size=10&delay=5ms&status=503");
        let page = Answer::Page { status: 503, payload: 10, head: false };
        assert_eq!(ask.answer(&LIMITS), (page, 5_000_000));
        ask.take(b":method", b"HEAD");
        assert_eq!(ask.answer(&LIMITS).0.body(), (Vec::new(), 0));
        assert_eq!(ask.too_large(), Answer::Page { status: 413, payload: 0, head: true });
    }
}
