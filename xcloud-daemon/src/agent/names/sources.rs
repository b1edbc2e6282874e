//! Where names come from: Kubernetes' API, and the container runtime for as long as the API does not answer.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};
use tracing::warn;

use super::{Names, cri, kubernetes};
use crate::cli::names::NamesArgs;

/// How long the API may not answer before the runtime is asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who tells of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Kubernetes' API.
    Api,
    /// The container runtime.
    Runtime,
}

/// Learns names for ever, from the best source there is. Trouble with it is told and does not end the agent.
pub async fn follow(names: Arc<Names>, args: NamesArgs, node: String) {
    let config = kubernetes::config(&args).await;
    match config.and_then(|config| config.map(kubernetes::client).transpose()) {
        Ok(Some(client)) => both(&names, client, &args, &node, PATIENCE).await,
        Ok(None) => cri::follow(&args, &names).await,
        Err(error) => {
            warn!("names: {error:#}; asking the container runtime instead");
            cri::follow(&args, &names).await;
        }
    }
    // There is nothing to learn names from; connections are told by interface and address alone.
    pending().await
}

/// From the API, and while that has not answered for `patience` from the runtime.
pub(super) async fn both(
    names: &Names,
    client: kube::Client,
    args: &NamesArgs,
    node: &str,
    patience: Duration,
) {
    let answering = watch::Sender::new(false);
    let answers = answering.subscribe();
    tokio::join!(
        kubernetes::follow(client, node, names, &answering, kubernetes::OWNERS_AGAIN),
        stand_in(names, args, answers, patience)
    );
}

/// Asks the runtime whenever the API has not answered for `patience`, until it answers.
async fn stand_in(
    names: &Names,
    args: &NamesArgs,
    mut answers: watch::Receiver<bool>,
    patience: Duration,
) {
    // Whoever tells whether it answers runs as long as this.
    loop {
        let _ = answers.wait_for(|answers| !answers).await;
        if timeout(patience, answers.wait_for(|answers| *answers)).await.is_ok() {
            continue;
        }
        warn!(
            "names: Kubernetes' API has not answered for {patience:?}; asking the container runtime until it does"
        );
        let asking = async {
            cri::follow(args, names).await;
            pending::<()>().await;
        };
        tokio::select! {
            // First, so that what the runtime tells does not count once the API has answered.
            biased;
            _ = answers.wait_for(|answers| *answers) => {}
            () = asking => {}
        }
    }
}
