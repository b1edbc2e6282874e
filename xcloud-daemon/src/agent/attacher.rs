//! The one thread that keeps the rights it takes to put hooks on and off, as interfaces and pods come and go. It speaks with
//! the kernel only; what speaks with other machines has no rights.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, anyhow};
use tokio::{
    runtime,
    sync::{oneshot, watch},
};
use tokio_util::sync::CancellationToken;
use xcloud_proto::ingest::v1::Status;

use super::{hooks::SharedHooks, keeper::Keeper, names::Names, pods};
use crate::{
    access::privileges::{TO_ATTACH, keep_only},
    cli::AgentArgs,
};

/// What the thread works on.
#[derive(Debug)]
pub struct Attacher {
    /// Which interfaces, and where to say that all hooks are on.
    pub args: Arc<AgentArgs>,
    /// The hooks.
    pub hooks: SharedHooks,
    /// Told which interfaces pods have.
    pub names: Arc<Names>,
    /// Which interfaces, as that changes.
    pub settings: watch::Receiver<Arc<AgentArgs>>,
    /// Told what they see.
    pub tell: watch::Sender<Status>,
}

/// The running thread.
#[derive(Debug)]
pub struct Attaching {
    stop: CancellationToken,
    thread: JoinHandle<Result<()>>,
    /// Closed when it ends, for whatever reason.
    pub ended: oneshot::Receiver<()>,
}

impl Attacher {
    /// Starts the thread.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(self) -> Result<Attaching> {
        let stop = CancellationToken::new();
        let (running, ended) = oneshot::channel();
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("attach".into()).spawn(move || {
            let _dropped_at_the_end: oneshot::Sender<()> = running;
            let result = self.run(&stopped);
            self.hooks.lock().detach_all();
            result
        });
        Ok(Attaching { stop, thread: thread.context("starting the thread that attaches")?, ended })
    }

    fn keeper(&self) -> Keeper<'_> {
        Keeper::new(&self.args, &self.hooks, &self.names, self.settings.clone())
    }

    fn run(&self, stop: &CancellationToken) -> Result<()> {
        keep_only(TO_ATTACH)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the asynchronous runtime")?;
        runtime.block_on(async {
            tokio::select! {
                result = self.keeper().run() => result,
                result = pods::watch(&self.hooks, &self.names, &self.args.interfaces, &self.tell) => result,
                () = stop.cancelled() => Ok(()),
            }
        })
    }
}

impl Attaching {
    /// Takes all hooks off and ends the thread.
    ///
    /// # Errors
    /// What ended it before.
    pub fn finish(self) -> Result<()> {
        self.stop.cancel();
        let ended = self.thread.join();
        ended.unwrap_or_else(|_| Err(anyhow!("the thread that attaches panicked")))
    }
}
