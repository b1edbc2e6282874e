//! Whether a process is well, in plaintext at a port of its own, where there is nothing else to be had: kubelets have no
//! certificates.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::health_reporter};

use super::{
    bucket::Rate,
    door::{self, Listener},
    entrance::Entrance,
    seats::Limits,
};
use crate::wire::server;

/// How often a process is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Calls a second of a connection.
const CALLS_PER_SECOND: u32 = 20;
/// A kubelet makes a connection for every look, and few make them.
const LIMITS: Limits = Limits {
    all: 64,
    per_peer: 32,
    opening: 32,
    opening_per_peer: 16,
    rate: Rate { per_second: 20.0, burst: 100.0 },
};

/// Whether the process answers at all.
const LIVENESS: &str = "liveness";
/// Whether it does what it is there for.
const READINESS: &str = "readiness";

/// Listens, if there is an address.
///
/// # Errors
/// It cannot be listened on.
pub async fn listen(address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let listening = || format!("listening on {address} (--health-listen)");
    let listener = TcpListener::bind(address).await.with_context(listening)?;
    tracing::info!("health: answering at {}", listener.local_addr().with_context(listening)?);
    Ok(Some(listener))
}

/// Answers until `stop`; never returns before, nor without a listener.
///
/// # Errors
/// The listener breaks.
pub async fn serve(
    listener: Option<TcpListener>,
    stop: CancellationToken,
    mut is_ready: impl FnMut() -> bool,
) -> Result<()> {
    let Some(listener) = listener else {
        stop.cancelled().await;
        return Ok(());
    };
    let (reporter, service) = health_reporter();
    reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
    let entrance = Arc::new(Entrance::new(LIMITS, CALLS_PER_SECOND));
    let guests = door::open(Listener::Tcp(listener), Arc::clone(&entrance), stop.clone());
    let serving = server::limited(&entrance).add_service(service).serve_with_incoming(guests);
    let asking = async {
        let mut ticks = interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let status = match is_ready() {
                true => ServingStatus::Serving,
                false => ServingStatus::NotServing,
            };
            reporter.set_service_status(READINESS, status).await;
        }
    };
    tokio::select! {
        served = serving => served.context("answering whether this process is well"),
        () = asking => Ok(()),
        () = entrance.mind() => Ok(()),
        () = stop.cancelled() => Ok(()),
    }
}
