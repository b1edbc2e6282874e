//! Plays one part in a test: a process of this program, started, watched and ended.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Child,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use xcloud_proto::loadtest::v1::{
    AttendRequest, Ended, Report, attend_request::Message, report::News,
};

use super::{
    child,
    keep::LONGEST_RESULT,
    lines::Lines,
    orders::{self, Sending, answering_time},
    rules::Rules,
    spec::Spec,
};
use crate::{access::caller, cli::Address};

/// How often an answering part's readiness is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// How long a sending part that was asked to end may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much longer than the answering part a process may run before it is killed.
const SLACK: Duration = Duration::from_secs(15);
/// Bytes of a process's last words.
const WORDS: usize = 4 << 10;
/// Bytes of a result in one message.
const CHUNK: usize = 32 << 10;

/// A part, and how it is heard of and ended.
#[derive(Clone, Debug)]
pub struct Part {
    /// In which test.
    pub test: String,
    /// Where news go.
    pub reports: mpsc::Sender<AttendRequest>,
    /// It is to end, and may tell what it found.
    pub stop: CancellationToken,
    /// Nobody listens any more: it is to end at once.
    pub over: CancellationToken,
}

/// What the sending part is told.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Where the answering part waits.
    pub to: SocketAddr,
    /// Names of both ends.
    pub labels: (String, String),
    /// Whom to ask where the time of the requests went.
    pub aggregator: Option<Address>,
}

impl Part {
    /// Says that the part is refused.
    pub async fn refuse(self, why: String) {
        self.report(News::Failed(why)).await;
    }

    /// Answers load until told to stop.
    pub async fn answer(self, spec: Spec, rules: Rules) {
        let ended = self.answering(&spec, &rules).await;
        self.close(ended).await;
    }

    /// Sends load, and what came of it.
    pub async fn send(self, spec: Spec, errand: Errand) {
        let ended = self.sending(&spec, &errand).await;
        self.close(ended).await;
    }

    async fn close(&self, ended: Result<()>) {
        self.report(match ended {
            Ok(()) => News::Ended(Ended {}),
            Err(error) => News::Failed(format!("{error:#}")),
        })
        .await;
    }

    async fn answering(&self, spec: &Spec, rules: &Rules) -> Result<()> {
        let directory = private_directory()?;
        let ready = directory.path().join("ready");
        let arguments = orders::answer(spec, rules.listen, rules.max_bytes, &ready);
        let mut child = child::start(&arguments, Stdio::null())?;
        let words = last_words(child.stderr.take());
        let late = Instant::now() + answering_time(spec) + SLACK;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status.context("waiting for the process")?,
                () = self.stop.cancelled() => return end(&mut child).await,
                () = self.over.cancelled() => return end(&mut child).await,
                () = sleep_until(late) => {
                    end(&mut child).await?;
                    bail!("nobody ended it in time");
                }
                _ = look.tick(), if !told => {
                    if let Some(port) = ready_port(&ready)? {
                        told = true;
                        self.report(News::ReadyPort(port.into())).await;
                    }
                }
            }
        };
        succeeded(status, words).await
    }

    async fn sending(&self, spec: &Spec, errand: &Errand) -> Result<()> {
        let directory = private_directory()?;
        let result = directory.path().join("result.json");
        let how = Sending {
            to: errand.to,
            labels: (&errand.labels.0, &errand.labels.1),
            aggregator: errand.aggregator.as_ref(),
            result: &result,
        };
        let mut arguments = orders::send(spec, &how);
        // It asks the aggregator as who this process is.
        arguments.extend(caller::own().flags());
        let mut child = child::start(&arguments, Stdio::piped())?;
        let words = last_words(child.stderr.take());
        let output = child.stdout.take().context("the process has no output")?;
        let passing_on = tokio::spawn(pass_on(output, self.clone()));
        let status = self.end_of(&mut child, Instant::now() + answering_time(spec) + SLACK).await?;
        // It ends with the process, whose output it is.
        passing_on.await.context("passing on progress")?;
        succeeded(status, words).await?;
        self.deliver(&result).await
    }

    /// Waits for a process, or ends it.
    async fn end_of(&self, child: &mut Child, late: Instant) -> Result<ExitStatus> {
        let waiting = "waiting for the process";
        tokio::select! {
            status = child.wait() => return status.context(waiting),
            () = self.over.cancelled() => {}
            () = sleep_until(late) => {}
            () = self.stop.cancelled() => {
                child::ask_to_end(child);
                tokio::select! {
                    ended = timeout(PATIENCE, child.wait()) => {
                        if let Ok(status) = ended {
                            return status.context(waiting);
                        }
                    }
                    () = self.over.cancelled() => {}
                }
            }
        }
        end(child).await?;
        bail!("it did not end in time and was killed")
    }

    /// Sends a result, piece by piece.
    async fn deliver(&self, result: &Path) -> Result<()> {
        let length = fs::metadata(result).context("looking for the result")?.len();
        ensure!(length <= LONGEST_RESULT as u64, "its result of {length} bytes is too long");
        let bytes = fs::read(result).context("reading the result")?;
        for chunk in bytes.chunks(CHUNK) {
            self.report(News::ResultChunk(chunk.into())).await;
        }
        Ok(())
    }

    /// Tells something that must be heard, unless nobody listens any more.
    async fn report(&self, news: News) {
        tokio::select! {
            // Whoever would hear of a failure is gone.
            _ = self.reports.send(self.message(news)) => {}
            () = self.over.cancelled() => {}
        }
    }

    /// Tells a line of progress if there is room: nothing waits for it.
    fn mention(&self, line: String) {
        let _ = self.reports.try_send(self.message(News::Progress(line)));
    }

    fn message(&self, news: News) -> AttendRequest {
        let report = Report { test_id: self.test.clone(), news: Some(news) };
        AttendRequest { message: Some(Message::Report(report)) }
    }
}

fn private_directory() -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("xcloud-load-")
        .tempdir()
        .context("making a directory for the result; TMPDIR names another place")
}

/// Kills a process and waits until it is gone.
async fn end(child: &mut Child) -> Result<()> {
    child.kill().await.context("killing the process")
}

async fn succeeded(status: ExitStatus, words: JoinHandle<Vec<u8>>) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let words = words.await.context("reading what the process said")?;
    bail!("{}", child::reason(status, &words))
}

/// The port in a file that may not be there yet.
fn ready_port(file: &Path) -> Result<Option<u16>> {
    let Ok(text) = fs::read_to_string(file) else { return Ok(None) };
    let address: SocketAddr = text.trim().parse().context("the port it is ready at")?;
    Ok(Some(address.port()))
}

/// The end of what a process says, read while it runs so that it never waits for a reader.
fn last_words(output: Option<impl AsyncRead + Unpin + Send + 'static>) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut words = Vec::new();
        let Some(mut output) = output else { return words };
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = output.read(&mut buffer).await {
            words.extend(&buffer[..count]);
            words.drain(..words.len().saturating_sub(WORDS));
        }
        words
    })
}

async fn pass_on(mut output: impl AsyncRead + Unpin, part: Part) {
    let mut lines = Lines::default();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        for line in lines.push(&buffer[..count]) {
            part.mention(line);
        }
    }
}
