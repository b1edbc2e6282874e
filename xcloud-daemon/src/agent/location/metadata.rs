//! What the cloud's metadata service says of where this machine is. All three kinds are asked at once, at the one
//! address that they share; each answers only who knows how to ask.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use http::{Method, Request, header::HOST};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use log::debug;
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::Location;

/// How long one question may take: the service is on the machine itself.
const WITHIN: Duration = Duration::from_millis(1_500);
/// Longest answer.
const LONGEST: usize = 64 << 10;

/// Asks the services, and says which one answered.
pub(super) async fn ask(at: SocketAddr) -> Option<(&'static str, Location)> {
    let told = |name: &'static str, answer: Result<Result<Location>, _>| {
        let answer = answer.unwrap_or_else(|_| Err(anyhow!("no answer within {WITHIN:?}")));
        match answer {
            Ok(location) => Some((name, location)),
            Err(error) => {
                debug!("location: no word of {name}: {error:#}");
                None
            }
        }
    };
    let (aws, gcp, azure) = tokio::join!(
        timeout(WITHIN, aws(at)),
        timeout(WITHIN, gcp(at)),
        timeout(WITHIN, azure(at))
    );
    told("AWS' metadata service", aws)
        .or_else(|| told("GCP's metadata server", gcp))
        .or_else(|| told("Azure's metadata service", azure))
}

async fn aws(at: SocketAddr) -> Result<Location> {
    let lifetime = [("x-aws-ec2-metadata-token-ttl-seconds", "60")];
    let token = text(at, Method::PUT, "/latest/api/token", &lifetime).await?;
    let with = [("x-aws-ec2-metadata-token", token.trim())];
    let zone = text(at, Method::GET, "/latest/meta-data/placement/availability-zone", &with);
    let region = text(at, Method::GET, "/latest/meta-data/placement/region", &with);
    let (zone, region) = tokio::try_join!(zone, region)?;
    Ok(Location { cloud: "aws".into(), region: label(&region)?, zone: label(&zone)? })
}

async fn gcp(at: SocketAddr) -> Result<Location> {
    let with = [("metadata-flavor", "Google")];
    let path = text(at, Method::GET, "/computeMetadata/v1/instance/zone", &with).await?;
    // projects/123/zones/us-central1-a
    let (_, zone) = path.trim().rsplit_once("/zones/").context("an answer that names no zone")?;
    let (region, _) = zone.rsplit_once('-').context("a zone of no region")?;
    Ok(Location { cloud: "gcp".into(), region: label(region)?, zone: label(zone)? })
}

#[derive(Deserialize)]
struct AzureCompute {
    location: String,
    #[serde(default)]
    zone: String,
}

async fn azure(at: SocketAddr) -> Result<Location> {
    let path = "/metadata/instance/compute?api-version=2021-02-01&format=json";
    let answer = text(at, Method::GET, path, &[("metadata", "true")]).await?;
    let AzureCompute { location, zone } = serde_json::from_str(&answer).context("reading it")?;
    // As the labels of AKS' nodes have it.
    let zone = if zone.is_empty() { zone } else { format!("{location}-{zone}") };
    Ok(Location { cloud: "azure".into(), region: label(&location)?, zone: label(&zone)? })
}

/// A label as flags may give it; whoever answers at this address may be anybody.
fn label(text: &str) -> Result<String> {
    let text = text.trim();
    crate::agent::identity::label_fits("it", text, crate::agent::identity::MAX_LABEL)?;
    Ok(text.to_owned())
}

async fn text(
    at: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<String> {
    let stream = TcpStream::connect(at).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let mut request = Request::builder().method(method).uri(path).header(HOST, at.ip().to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = answer.status();
    ensure!(status.is_success(), "{path}: it answers {status}");
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    let body = body.map_err(|error| anyhow!("{path}: {error}"))?.to_bytes();
    String::from_utf8(body.into()).with_context(|| format!("{path}: no text"))
}
