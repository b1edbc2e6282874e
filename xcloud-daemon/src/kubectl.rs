//! `kubectl xcloud COMMAND`: the same binary under the name `kubectl-xcloud` finds the aggregator in a cluster, forwards a
//! socket of its own to it through the API server, and runs the command against that.

mod complete;
mod find;
mod forward;
mod words;

use std::{
    env,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{ExitCode, ExitStatus},
};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

use self::{find::Cluster, forward::Forward};
use crate::{
    cli::{
        kubectl::KubectlArgs,
        log::{LogArgs, LogFormat},
    },
    logging,
    report::style,
};

/// The name under which kubectl finds this program.
const NAME: &str = "kubectl-xcloud";

/// What is logged of the way to the aggregator; the command has a log of its own.
const LEVEL: &str = "warn";

/// The name under which kubectl asks what may come next on a command line.
const COMPLETES: &str = "kubectl_complete-xcloud";

/// Does what kubectl wants, if this program was started by a name that kubectl knows.
///
/// # Errors
/// As [`run`].
pub fn as_plugin() -> Option<Result<ExitCode>> {
    let called = env::args_os().next()?;
    match Path::new(&called).file_name()?.to_str()? {
        NAME => Some(run()),
        COMPLETES => {
            let words: Vec<_> =
                env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            Some(style::print(&complete::complete(&words)).map(|_| ExitCode::SUCCESS))
        }
        _ => None,
    }
}

/// Runs a command against the aggregator of a cluster; it ends as the command does.
///
/// # Errors
/// The command is none that asks an aggregator, or there is no way to one.
fn run() -> Result<ExitCode> {
    logging::init(&LogArgs { log_level: Some(LEVEL.into()), log_format: LogFormat::Text })?;
    let args = KubectlArgs::parse();
    words::check(&args.command)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        if words::asks_for_help(&args.command) {
            return ended(&command(&args.command).status().await.context("starting xcloud")?);
        }
        let cluster = Cluster::open(&args).await?;
        let forward = Forward::open(&cluster, words::use_tls(&args.command)).await?;
        let mut command = command(&args.command);
        command.env("XCLOUD_AGGREGATOR", forward.address());
        if args.command[0] == "cost" {
            // It asks nobody unless it is told to.
            command.args(["--aggregator", forward.address()]);
        }
        let child = command.spawn().context("starting xcloud")?;
        tokio::select! {
            ended = wait(child) => ended,
            failed = forward.serve() => failed.map(|()| ExitCode::FAILURE),
        }
    })
}

/// This program by its ordinary name.
fn command(words: &[String]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("xcloud").args(words).kill_on_drop(true);
    command
}

/// Waits for the command. Signals from the terminal are its own matter; a request to end is passed on.
async fn wait(mut child: Child) -> Result<ExitCode> {
    let listen = |kind| signal(kind).context("listening for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut quit = listen(SignalKind::quit())?;
    let mut terminate = listen(SignalKind::terminate())?;
    loop {
        tokio::select! {
            status = child.wait() => return ended(&status.context("waiting for xcloud")?),
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = terminate.recv() => {
                let id = child.id().and_then(|id| i32::try_from(id).ok());
                if let Some(id) = id {
                    kill(Pid::from_raw(id), Signal::SIGTERM).context("ending xcloud")?;
                }
            }
        }
    }
}

/// The exit code of a process, as a shell tells it.
fn ended(status: &ExitStatus) -> Result<ExitCode> {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
