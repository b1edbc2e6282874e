//! `xcloud load run`: what a test would move first, then its progress, then how it ended. Ctrl-C cancels it.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tonic::transport::Channel;
use xcloud_proto::loadtest::v1::{
    CancelLoadTestRequest, CreateLoadTestRequest, LoadTest, LoadTestSpec, LoadTestState,
    WatchLoadTestRequest, load_test_service_client::LoadTestServiceClient,
    watch_load_test_response::News,
};

use super::{export, show, wish};
use crate::{
    cli::{Address, loadtest::RunArgs},
    report::style::{clean, print},
    wire::connect::{answered, load_tests},
};

struct User<'a> {
    client: LoadTestServiceClient<Channel>,
    address: &'a Address,
}

pub(super) async fn run(args: &RunArgs) -> Result<()> {
    let spec = wish::spec(args)?;
    let address = &args.server.aggregator;
    let mut user = User { client: load_tests(address).await?, address };
    let judged = user.create(&spec, true).await?;
    let estimate = judged.estimate.unwrap_or_default().text;
    print(&format!("{}\n", clean(&estimate)))?;
    if args.dry_run {
        return Ok(());
    }
    // From here on a signal must not leave a test behind.
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let test = user.create(&spec, false).await?;
    eprintln!("xcloud: load test {}; Ctrl-C cancels it", clean(&test.id));
    let test = user.follow(&test.id, &mut interrupt, &mut terminate).await?;
    if let Some(path) = args.result.as_deref().filter(|_| test.has_result) {
        let ids = vec![test.id.clone()];
        export::write(&mut user.client, address, ids, "", &args.fact, path).await?;
    }
    let outcome = show::outcome(&test);
    if test.state() != LoadTestState::Done {
        bail!("{outcome}");
    }
    print(&(outcome + "\n")).map(drop)
}

/// How far a test is, on a terminal.
#[derive(Default)]
struct Clock {
    running: Option<Instant>,
    shown: bool,
}

impl Clock {
    fn show(&mut self, test: Option<&LoadTest>) {
        let Some(test) = test.filter(|test| test.state() == LoadTestState::Running) else { return };
        let since = self.running.get_or_insert_with(Instant::now).elapsed().as_secs();
        let duration = test.spec.as_ref().and_then(|spec| spec.duration).unwrap_or_default();
        if std::io::stderr().is_terminal() {
            eprint!("\r{since} of {} s", duration.seconds);
            self.shown = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\x1b[K");
        }
    }
}

impl User<'_> {
    async fn create(&mut self, spec: &LoadTestSpec, validate_only: bool) -> Result<LoadTest> {
        let request = CreateLoadTestRequest { spec: Some(spec.clone()), validate_only };
        let answer = self.client.create_load_test(request).await;
        Ok(answered(answer, self.address)?.into_inner().test.unwrap_or_default())
    }

    /// Shows a test's progress until it has ended.
    async fn follow(
        &mut self,
        id: &str,
        interrupt: &mut Signal,
        terminate: &mut Signal,
    ) -> Result<LoadTest> {
        let call = self.client.watch_load_test(WatchLoadTestRequest { id: id.into() }).await;
        let mut news = answered(call, self.address)?.into_inner();
        let mut last: Option<LoadTest> = None;
        let mut clock = Clock::default();
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            let told = tokio::select! {
                told = news.message() => answered(told, self.address)?,
                _ = interrupt.recv() => return self.cancel(id).await,
                _ = terminate.recv() => return self.cancel(id).await,
                _ = ticks.tick() => {
                    clock.show(last.as_ref());
                    continue;
                }
            };
            clock.clear();
            match told.map(|told| told.news) {
                Some(Some(News::Test(test))) => last = Some(test),
                Some(Some(News::Progress(line))) => drop(print(&format!("{}\n", clean(&line)))?),
                Some(None) => {}
                None => break,
            }
        }
        last.with_context(|| format!("the aggregator at {} says nothing of {id}", self.address))
    }

    async fn cancel(&mut self, id: &str) -> Result<LoadTest> {
        eprintln!("xcloud: cancelling load test {}", clean(id));
        let answer = self.client.cancel_load_test(CancelLoadTestRequest { id: id.into() }).await;
        Ok(answered(answer, self.address)?.into_inner().test.unwrap_or_default())
    }
}
