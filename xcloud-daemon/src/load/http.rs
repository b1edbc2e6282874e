//! `xcloud load http`: HTTP/1.1 or HTTP/2 against any server.

pub mod answer;
mod chunked;
pub mod target;

use anyhow::Result;

use super::{
    http2::{self, reply::Kind},
    rate::{command, slot::Transport, turns::Turns},
};
use crate::cli::rate::HttpArgs;

use answer::HttpAnswer;

/// The same request over and over.
#[derive(Debug)]
pub struct Http {
    request: Vec<u8>,
    head: bool,
}

impl Turns for Http {
    type Answer = HttpAnswer;

    fn answer(&self) -> HttpAnswer {
        HttpAnswer::new(self.head)
    }

    fn request<'a>(&'a self, _id: u64, _scratch: &'a mut Vec<u8>) -> &'a [u8] {
        &self.request
    }
}

/// Runs `xcloud load http`.
///
/// # Errors
/// The flags make no request, or the test cannot be made.
pub fn run(args: &HttpArgs) -> Result<()> {
    let url = target::parse(&args.url)?;
    let body = target::body(args.body.as_deref())?;
    let head = args.method == "HEAD";
    let mut target = command::Target {
        test: "http",
        name: args.url.clone(),
        address: command::resolve(&url.host, url.port)?,
        transport: Transport::Tcp,
        settings: vec![("method", args.method.clone()), ("body_bytes", body.len().to_string())],
    };
    if args.http2 {
        target.test = "http2";
        target.settings.push(("streams", args.streams.to_string()));
        let request = http2::request::Request {
            method: &args.method,
            path: &url.path,
            headers: &args.headers,
            body,
            kind: Kind::Http { head_only: head },
            streams: args.streams,
        };
        return command::run(&args.rate, &target, &http2::request::encode(&url, request)?);
    }
    let request = target::request(&url, &args.method, &args.headers, &body)?;
    command::run(&args.rate, &target, &Http { request, head })
}
