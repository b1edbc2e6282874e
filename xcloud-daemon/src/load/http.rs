//! `xcloud load http`: HTTP/1.1 against any server.

pub mod answer;
mod chunked;
pub mod target;

use anyhow::Result;

use super::rate::{command, protocol::Protocol, slot::Transport};
use crate::cli::rate::HttpArgs;

use answer::HttpAnswer;

/// The same request over and over.
#[derive(Debug)]
pub struct Http {
    request: Vec<u8>,
    head: bool,
}

impl Protocol for Http {
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
    let request = target::request(&url, &args.method, &args.headers, &body)?;
    let protocol = Http { request, head: args.method == "HEAD" };
    let target = command::Target {
        test: "http",
        name: args.url.clone(),
        address: command::resolve(&url.host, url.port)?,
        transport: Transport::Tcp,
        settings: vec![("method", args.method.clone()), ("body_bytes", body.len().to_string())],
    };
    command::run(&args.rate, &target, &protocol)
}
