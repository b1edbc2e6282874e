//! `xcloud observe`: follows joined exchanges.

use anyhow::{Context as _, Result};
use xcloud_proto::observer::v1::{
    WatchExchangesRequest, WatchExchangesResponse, watch_exchanges_response::Item,
};

use crate::{
    cli::ObserveArgs,
    query,
    report::{
        exchange::{Exchange, Lines},
        style,
    },
    wire::connect,
};

/// Prints exchanges until there were enough, or for ever.
///
/// # Errors
/// An argument is wrong, or no aggregator answers.
pub fn run(args: ObserveArgs) -> Result<()> {
    let request = WatchExchangesRequest {
        filter: Some(query::filter(&args.filter)?),
        limit: args.number.unwrap_or(0),
        min_total_ns: args
            .min_total
            .map_or(0, |least| u64::try_from(least.as_nanos()).unwrap_or(u64::MAX)),
        destination: None,
    };
    if args.number == Some(0) {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(follow(&args, request))
}

async fn follow(args: &ObserveArgs, request: WatchExchangesRequest) -> Result<()> {
    let address = &args.server.aggregator;
    let mut observer = connect::observer(address).await?;
    let call = observer.watch_exchanges(request).await;
    let mut answers = connect::answered(call, address)?.into_inner();
    let lines = Lines(args.output);
    style::print(&lines.header()?)?;
    while let Some(WatchExchangesResponse { item }) =
        connect::answered(answers.message().await, address)?
    {
        match item {
            Some(Item::Exchange(exchange)) => {
                let line = lines.exchange(&Exchange::from(exchange))?;
                let read_on = style::print(&line)?;
                if !read_on {
                    return Ok(());
                }
            }
            // Not among the exchanges, so that programs can read those.
            Some(Item::Skipped(count)) => {
                eprintln!("xcloud: too slow to read: {count} exchanges were skipped");
            }
            None => {}
        }
    }
    Ok(())
}
