//! `xcloud nodes`: the agents an aggregator knows.

use anyhow::{Context as _, Result};
use xcloud_proto::observer::v1::ListNodesRequest;

use crate::{
    cli::nodes::NodesArgs,
    report::{nodes, style},
    wire::connect,
};

/// Asks once and prints the answer.
///
/// # Errors
/// No aggregator answers.
pub fn run(args: &NodesArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let address = &args.server.aggregator;
    let answer = runtime.block_on(async {
        let mut observer = connect::observer(address).await?;
        connect::answered(observer.list_nodes(ListNodesRequest {}).await, address)
    })?;
    let all: Vec<_> = answer.into_inner().nodes.into_iter().map(nodes::Node::from).collect();
    style::print(&nodes::show(&all, args.output)?)?;
    Ok(())
}
