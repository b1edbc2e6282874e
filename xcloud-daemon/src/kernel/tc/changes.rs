//! Tells when filters or qdiscs of this namespace change.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use rtnetlink::MulticastGroup;
use tokio::{sync::mpsc::Sender, time::sleep};

/// Agents change filters by the dozen; one look after them is enough.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Rings `bell` shortly after a change. Ends when nobody listens any more.
///
/// # Errors
/// The kernel refuses the subscription or ends it.
pub async fn follow(bell: Sender<()>) -> Result<()> {
    let (connection, _handle, mut messages) =
        rtnetlink::new_multicast_connection(&[MulticastGroup::Tc])
            .context("subscribing to netlink filter and qdisc changes")?;
    let _connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    while messages.next().await.is_some() {
        sleep(DEBOUNCE).await;
        while futures_util::FutureExt::now_or_never(messages.next()).flatten().is_some() {}
        if bell.send(()).await.is_err() {
            return Ok(());
        }
    }
    bail!("the netlink socket that tells filter changes was closed")
}
