//! `xcloud load grpc`: unary calls, of any server that is called without encryption.

use anyhow::{Context as _, Result};

use super::{
    http::target,
    http2::{
        reply::Kind,
        request::{Request, encode},
    },
    rate::{command, slot::Transport},
    rr::sizes,
};
use crate::{cli::grpc::GrpcArgs, usage::usage};

/// What every server should answer.
pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// What only our responder answers: with a message as long as asked for.
pub(crate) const PAYLOAD: &str = "/xcloud.load.v1.Responder/Payload";

/// Metadata by which our responder is told what to do.
pub(crate) mod metadata {
    /// Bytes of the answer's message.
    pub(crate) const SIZE: &str = "xcloud-size";
    /// How long to wait before it.
    pub(crate) const DELAY: &str = "xcloud-delay";
    /// The status to answer with.
    pub(crate) const STATUS: &str = "xcloud-status";
}

/// Runs `xcloud load grpc`.
///
/// # Errors
/// The flags make no call, or the test cannot be made.
pub fn run(args: &GrpcArgs) -> Result<()> {
    let url = target::parse(&args.url)?;
    let size = args.size.as_deref().map(sizes).transpose()?;
    let path = method(&url.path, size.is_some())?;
    let message = match size {
        Some((request, _)) => vec![b'x'; request as usize],
        None => target::body(args.message.as_deref())?,
    };
    let headers = [&args.headers[..], &wishes(args, size)].concat();
    let target = command::Target {
        test: "grpc",
        name: args.url.clone(),
        address: command::resolve(&url.host, url.port)?,
        transport: Transport::Tcp,
        settings: settings(args, path, message.len(), size),
    };
    let (body, streams) = (framed(&message)?, args.streams);
    let request =
        Request { method: "POST", path, headers: &headers, body, kind: Kind::Grpc, streams };
    command::run(&args.rate, &target, &encode(&url, request)?)
}

/// The method that a URL names.
fn method(path: &str, sized: bool) -> Result<&str> {
    let named = path.strip_prefix('/').and_then(|name| name.split_once('/'));
    let fine = named.is_some_and(|(service, method)| {
        let known = |part: &str| !part.is_empty() && !part.contains(['/', '?']);
        known(service) && known(method)
    });
    match (path, sized) {
        ("/", false) => Ok(HEALTH),
        ("/", true) | (PAYLOAD, true) => Ok(PAYLOAD),
        (_, true) => Err(usage(format!(
            "--size asks `xcloud load responder` for its own method; leave {path:?} out, or send a --message"
        ))),
        _ if fine => Ok(path),
        _ => Err(usage(format!("{path:?} is no method of gRPC; it is /PACKAGE.SERVICE/METHOD"))),
    }
}

/// Metadata that says what our responder is to do.
fn wishes(args: &GrpcArgs, size: Option<(u32, u32)>) -> Vec<String> {
    let mut all = Vec::new();
    if let Some((_, answer)) = size {
        all.push(format!("{}: {answer}", metadata::SIZE));
    }
    if !args.delay.is_zero() {
        all.push(format!("{}: {}", metadata::DELAY, humantime::format_duration(args.delay)));
    }
    if args.status != 0 {
        all.push(format!("{}: {}", metadata::STATUS, args.status));
    }
    all
}

fn settings(
    args: &GrpcArgs,
    path: &str,
    request: usize,
    size: Option<(u32, u32)>,
) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("method", path.trim_start_matches('/').to_owned()),
        ("request_bytes", request.to_string()),
        ("streams", args.streams.to_string()),
        ("delay", humantime::format_duration(args.delay).to_string()),
    ];
    all.extend(size.map(|(_, answer)| ("answer_bytes", answer.to_string())));
    all
}

/// A message as it travels: not compressed, its length before it.
pub(crate) fn framed(message: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(message.len()).ok().context("a message has at most 4 GiB")?;
    Ok([&[0], &length.to_be_bytes()[..], message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_method() {
        let known = |path, sized| method(path, sized).expect("a method").to_owned();
        assert_eq!(known("/", false), HEALTH);
        assert_eq!(known("/", true), PAYLOAD);
        assert_eq!(known("/a.B/C", false), "/a.B/C");
        for (wrong, sized) in
            [("/a.B/C", true), ("/a", false), ("/a/", false), ("/a/b/c", false), ("/a/b?c", false)]
        {
            assert!(method(wrong, sized).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_message_has_its_length_before_it() {
        assert_eq!(framed(b"ab").expect("short"), b"\0\0\0\0\x02ab");
    }
}
