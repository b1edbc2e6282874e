//! How commands reach the aggregator.

use std::time::Duration;

use anyhow::{Context as _, Result};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Status,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;
use xcloud_proto::{
    loadtest::v1::load_test_service_client::LoadTestServiceClient,
    observer::v1::observer_service_client::ObserverServiceClient,
};

use crate::cli::Address;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer with histograms of many paths is long.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Connects to the aggregator's observer service.
///
/// # Errors
/// Nobody answers there.
pub async fn observer(address: &Address) -> Result<ObserverServiceClient<Channel>> {
    let channel = reach(address).await?;
    Ok(ObserverServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES))
}

/// Connects to the aggregator's load tests.
///
/// # Errors
/// Nobody answers there.
pub async fn load_tests(address: &Address) -> Result<LoadTestServiceClient<Channel>> {
    let channel = reach(address).await?;
    Ok(LoadTestServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES))
}

async fn reach(address: &Address) -> Result<Channel> {
    channel(address).await.map_err(|error| innermost(&error)).map_err(|cause| {
        anyhow::anyhow!(
            "no aggregator answers at {address}: {cause}; start one with `xcloud aggregator`, or name it with \
             --aggregator"
        )
    })
}

async fn channel(address: &Address) -> Result<Channel, tonic::transport::Error> {
    match address {
        Address::Tcp(address) => {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
            endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await
        }
        Address::Unix(path) => {
            let path = path.clone();
            let connector = service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            // Only the path counts; HTTP/2 wants an authority all the same.
            Endpoint::from_static("http://localhost").connect_with_connector(connector).await
        }
    }
}

/// The cause of all causes says most: "connection refused", not "transport error".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What the aggregator said instead of an answer.
///
/// # Errors
/// Always when the call failed.
pub fn answered<T>(call: Result<T, Status>, address: &Address) -> Result<T> {
    call.map_err(|status| match status.message() {
        "" => anyhow::anyhow!("{}", innermost(&status)),
        message => anyhow::anyhow!("{message}"),
    })
    .with_context(|| format!("asking the aggregator at {address}"))
}
