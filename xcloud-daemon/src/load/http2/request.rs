//! From flags to a request of HTTP/2.

use anyhow::Result;

use super::{call::Call, frame::MOST_PAYLOAD, reply::Kind};
use crate::{
    load::http::target::{self, Url},
    usage::usage,
};

/// Most requests at once on a connection.
const MOST_STREAMS: u32 = 1_000;

/// Headers that speak of a connection, which HTTP/2 has no use for.
const OF_CONNECTIONS: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// What is sent besides the address.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Method of HTTP.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Headers, as `Name: value`.
    pub headers: &'a [String],
    /// Body.
    pub body: Vec<u8>,
    /// What its answer is.
    pub kind: Kind,
    /// Requests at once on a connection.
    pub streams: u32,
}

/// Encodes a request.
///
/// # Errors
/// Method, headers or streams are not such, or the headers are too long.
pub fn encode(url: &Url, request: Request<'_>) -> Result<Call> {
    let Request { method, path, headers, body, kind, streams } = request;
    if streams == 0 || streams > MOST_STREAMS {
        return Err(usage(format!("--streams is {streams}; it may be 1 to {MOST_STREAMS}")));
    }
    let own: Vec<_> = target::fields(method, headers)?
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    if let Some((name, _)) = own.iter().find(|(name, _)| OF_CONNECTIONS.contains(&name.as_str())) {
        return Err(usage(format!("--header {name:?} is none of HTTP/2")));
    }
    let find = |wanted: &str| own.iter().find(|(name, _)| name == wanted);
    let authority = find("host").map_or(&url.authority, |(_, value)| value);
    let mut fields = vec![
        (":method", method.as_bytes()),
        (":scheme", b"http"),
        (":path", path.as_bytes()),
        (":authority", authority.as_bytes()),
    ];
    let length = body.len().to_string();
    if kind == Kind::Grpc {
        fields.extend([("content-type", &b"application/grpc"[..]), ("te", b"trailers")]);
    } else if find("content-length").is_none() && target::announces(method, &body) {
        fields.push(("content-length", length.as_bytes()));
    }
    let others = own.iter().filter(|(name, _)| name != "host");
    fields.extend(others.map(|(name, value)| (name.as_str(), value.as_bytes())));
    Call::new(fields, body, kind, streams).ok_or_else(|| {
        usage(format!("the headers are longer than {MOST_PAYLOAD} bytes, which servers may refuse"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::http2::hpack::Decoder;

    fn fields(headers: &[&str], kind: Kind) -> Result<Vec<String>> {
        let url = target::parse("http://a:1/p?q").expect("a URL");
        let headers: Vec<_> = headers.iter().map(|header| (*header).to_owned()).collect();
        let request = Request {
            method: "POST",
            path: &url.path,
            headers: &headers,
            body: vec![0; 5],
            kind,
            streams: 1,
        };
        let call = encode(&url, request)?;
        let mut all = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let told = |name: &[u8], value: &[u8]| all.push(format!("{}={}", text(name), text(value)));
        Decoder::new(0).decode(&call.block, told).expect("well encoded");
        Ok(all)
    }

    #[test]
    fn a_request_is_what_a_server_expects() {
        let page = fields(&["X-A: b"], Kind::Http { head_only: false }).expect("a request");
        let common = [":method=POST", ":scheme=http", ":path=/p?q"];
        assert_eq!(page[..3], common);
        assert_eq!(page[3..], [":authority=a:1", "content-length=5", "x-a=b"]);
        let call = fields(&["Host: c"], Kind::Grpc).expect("a call");
        assert_eq!(call[..3], common);
        assert_eq!(call[3..], [":authority=c", "content-type=application/grpc", "te=trailers"]);
    }

    #[test]
    fn what_is_none_of_http2_is_refused() {
        let long = format!("a: {}", "x".repeat(MOST_PAYLOAD));
        for wrong in ["Connection: close", "Upgrade: x", "a", "A b: c", &long] {
            assert!(fields(&[wrong], Kind::Grpc).is_err(), "{wrong}");
        }
    }
}
