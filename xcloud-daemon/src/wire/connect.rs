//! How agents, endpoints and commands reach the aggregator.

use std::{io, time::Duration};

use anyhow::{Context as _, Result};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Status,
    transport::{Channel, Endpoint, Error, Uri},
};
use tower::service_fn;
use xcloud_proto::{
    loadtest::v1::load_test_service_client::LoadTestServiceClient,
    observer::v1::observer_service_client::ObserverServiceClient,
};

use crate::{
    access::caller::{self, Caller},
    cli::{Address, address::Host},
    escape::clean,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that vanished without a word is noticed after this and the timeout.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// An answer with histograms of many paths is long.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Connects to the aggregator's observer service.
///
/// # Errors
/// Nobody answers there.
pub async fn observer(address: &Address) -> Result<ObserverServiceClient<Channel>> {
    let channel = asking(address).await?;
    Ok(ObserverServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES))
}

/// Connects to the aggregator's load test service.
///
/// # Errors
/// Nobody answers there.
pub async fn load_tests(address: &Address) -> Result<LoadTestServiceClient<Channel>> {
    let channel = asking(address).await?;
    Ok(LoadTestServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES))
}

async fn asking(address: &Address) -> Result<Channel> {
    let channel = channel(address, |endpoint| endpoint).await;
    channel.map_err(|error| {
        let cause = innermost(&error);
        if is_disbelief(&error) {
            return anyhow::anyhow!(
                "the aggregator at {address} is not believed: {cause}; --tls-server-name says what its certificate \
                 names, --tls-ca who vouches for it"
            );
        }
        anyhow::anyhow!(
            "no aggregator answers at {address}: {cause}; start one with `xcloud aggregator`, or name it with \
             --aggregator"
        )
    })
}

/// Whether somebody answers, with a certificate that is not right.
fn is_disbelief(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    let mut wrapped = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref());
    wrapped.any(|inner| {
        use rustls::Error::{General, InvalidCertificate};
        // The second is our own verifier of URIs.
        matches!(inner.downcast_ref(), Some(InvalidCertificate(_) | General(_)))
    })
}

/// Connects for good: that the aggregator vanished without a word is noticed.
///
/// # Errors
/// Nobody answers there.
pub async fn lasting(address: &Address) -> Result<Channel, Error> {
    channel(address, |endpoint| {
        endpoint.http2_keep_alive_interval(KEEP_ALIVE).keep_alive_while_idle(true)
    })
    .await
}

async fn channel(
    address: &Address,
    prepare: impl FnOnce(Endpoint) -> Endpoint,
) -> Result<Channel, Error> {
    channel_as(caller::own(), address, prepare).await
}

/// Connects as a caller, whose newest certificates count at every new connection of the channel.
///
/// # Errors
/// Nobody answers there, or who does is not believed.
pub async fn channel_as(
    caller: &Caller,
    address: &Address,
    prepare: impl FnOnce(Endpoint) -> Endpoint,
) -> Result<Channel, Error> {
    let (uri, host) = match address {
        Address::Tcp(address) => {
            let tls = caller.has_tls().then(|| (address.ip().to_string(), address.port()));
            (address.to_string(), tls)
        }
        Address::Host(host) => {
            let secure = host.secure.unwrap_or_else(|| caller.has_tls());
            let bare = Host { secure: None, ..host.clone() };
            (bare.to_string(), secure.then(|| (host.name.clone(), host.port)))
        }
        // Only the path counts; HTTP/2 wants an authority all the same.
        Address::Unix(_) => ("localhost".into(), None),
    };
    let scheme = if host.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{uri}"))?;
    let endpoint = prepare(endpoint.connect_timeout(CONNECT_TIMEOUT));
    match (host, address) {
        (Some(host), _) => {
            let caller = caller.clone();
            let connector = service_fn(move |_: Uri| {
                let (caller, host) = (caller.clone(), host.clone());
                async move { caller.connect(&host.0, host.1).await.map(TokioIo::new) }
            });
            endpoint.connect_with_connector(connector).await
        }
        (None, Address::Unix(path)) => {
            let path = path.clone();
            let connector = service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            endpoint.connect_with_connector(connector).await
        }
        (None, _) => endpoint.connect().await,
    }
}

/// The cause of all causes says most: "connection refused", not "transport error".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    clean(&cause.to_string())
}

/// A status with its innermost cause: "connection refused", not "transport error".
#[must_use]
pub fn describe(status: &Status) -> String {
    if std::error::Error::source(status).is_some() {
        innermost(status)
    } else {
        format!("{:?}: {}", status.code(), clean(status.message()))
    }
}

/// What the aggregator said instead of an answer.
///
/// # Errors
/// Always when the call failed.
pub fn answered<T>(call: Result<T, Status>, address: &Address) -> Result<T> {
    call.map_err(|status| anyhow::anyhow!("{}", said(&status)))
        .with_context(|| format!("asking the aggregator at {address}"))
}

/// What the aggregator said, or how the connection ended: whoever is refused at the door learns no more.
fn said(status: &Status) -> String {
    let broken = std::error::Error::source(status).is_some();
    match status.message() {
        _ if broken && caller::own().has_tls() => {
            format!("{}; if it refuses this certificate, its log says why", innermost(status))
        }
        _ if broken => format!(
            "{}; if it wants certificates, name yours with --tls-ca, --tls-cert and --tls-key",
            innermost(status)
        ),
        "" => innermost(status),
        message => clean(message),
    }
}
