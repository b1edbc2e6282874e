//! What users ask for: `xcloud load run`, `endpoints`, `tests`, `cancel` and `export`.

pub(crate) mod export;
mod run;
mod show;
mod wish;

use anyhow::{Context as _, Result};
use xcloud_proto::loadtest::v1::{
    CancelLoadTestRequest, ListEndpointsRequest, ListLoadTestsRequest, LoadTest,
};

use crate::{
    cli::loadtest::{CancelArgs, ExportArgs, ListEndpointsArgs, ListTestsArgs, RunArgs},
    report::style::print,
    wire::connect::{answered, load_tests},
};

/// Has a test made and follows it.
///
/// # Errors
/// It is refused or fails, or no aggregator answers.
pub fn run(args: &RunArgs) -> Result<()> {
    wait(run::run(args))
}

/// Lists endpoints.
///
/// # Errors
/// No aggregator answers, or it makes no tests.
pub fn endpoints(args: &ListEndpointsArgs) -> Result<()> {
    wait(async {
        let address = &args.server.aggregator;
        let mut client = load_tests(address).await?;
        let answer = client.list_endpoints(ListEndpointsRequest {}).await;
        let endpoints = answered(answer, address)?.into_inner().endpoints;
        print(&show::endpoints(&endpoints, args.output)?).map(drop)
    })
}

/// Lists tests.
///
/// # Errors
/// No aggregator answers, or it makes no tests.
pub fn tests(args: &ListTestsArgs) -> Result<()> {
    wait(async {
        let address = &args.server.aggregator;
        let mut client = load_tests(address).await?;
        let answer = client.list_load_tests(ListLoadTestsRequest { limit: args.number }).await;
        let tests = answered(answer, address)?.into_inner().tests;
        print(&show::tests(&tests, args.output)?).map(drop)
    })
}

/// Ends a test.
///
/// # Errors
/// There is no such test, or no aggregator answers.
pub fn cancel(args: &CancelArgs) -> Result<()> {
    wait(async {
        let address = &args.server.aggregator;
        let mut client = load_tests(address).await?;
        let answer = client.cancel_load_test(CancelLoadTestRequest { id: args.id.clone() }).await;
        let test: LoadTest = answered(answer, address)?.into_inner().test.unwrap_or_default();
        print(&(show::outcome(&test) + "\n")).map(drop)
    })
}

/// Writes results to a file.
///
/// # Errors
/// One is missing, or no aggregator answers.
pub fn export(args: &ExportArgs) -> Result<()> {
    wait(async {
        let address = &args.server.aggregator;
        let mut client = load_tests(address).await?;
        let ExportArgs { ids, label, fact, result, .. } = args;
        export::write(&mut client, address, ids.clone(), label, fact, result).await
    })
}

fn wait<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(work)
}
