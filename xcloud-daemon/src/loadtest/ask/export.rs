//! Results from the aggregator to a file.

use std::path::Path;

use anyhow::{Result, ensure};
use tonic::transport::Channel;
use xcloud_proto::loadtest::v1::{
    ExportLoadTestsRequest, load_test_service_client::LoadTestServiceClient,
};

use crate::{
    cli::{Address, fact::FactArgs},
    result::Run,
    wire::connect::answered,
};

/// Longest run taken, in bytes.
const LONGEST: usize = 1 << 30;

/// Writes results of tests as one run, whole or not at all. What the user says of the network goes before what was seen.
pub(super) async fn write(
    client: &mut LoadTestServiceClient<Channel>,
    address: &Address,
    ids: Vec<String>,
    label: &str,
    facts: &FactArgs,
    path: &Path,
) -> Result<()> {
    let mut run = fetch(client, address, ids, label).await?;
    run.environment.extend(facts.facts.iter().cloned());
    run.write(path)
}

/// Results of tests as one run.
pub(crate) async fn fetch(
    client: &mut LoadTestServiceClient<Channel>,
    address: &Address,
    ids: Vec<String>,
    label: &str,
) -> Result<Run> {
    let request = ExportLoadTestsRequest { ids, label: label.into() };
    let call = client.export_load_tests(request).await;
    let mut chunks = answered(call, address)?.into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = answered(chunks.message().await, address)? {
        ensure!(
            bytes.len() + part.chunk.len() <= LONGEST,
            "the aggregator at {address} sends more than {LONGEST} bytes; export fewer tests at once"
        );
        bytes.extend(part.chunk);
    }
    Run::parse(&bytes, &format!("what the aggregator at {address} sent"))
}
