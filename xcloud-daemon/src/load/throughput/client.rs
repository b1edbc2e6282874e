//! The client's end of a test.

use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use super::{
    cookie::Cookie,
    ledger::{Ledger, Moment, Span},
    params::{self, Refused},
    plan::{Direction, Plan},
    protocol::{Control, State},
    record::{Record, Setting},
    results,
    socket::{self, Family},
    traffic::{End, Traffic},
};
use crate::load::interrupt;

/// Whom to test against, and how to get there.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Addresses that may be used.
    pub family: Family,
    /// Address to send from.
    pub from: Option<IpAddr>,
    /// How long to wait for a connection.
    pub patience: Duration,
}

/// What a test tells while it runs.
pub trait Audience {
    /// Data is about to flow.
    fn begins(&mut self, setting: &Setting);
    /// An interval has passed.
    fn passes(&mut self, setting: &Setting, span: &Span);
}

/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a test. A UDP plan of length 0 gets what fits a packet of the path.
///
/// # Errors
/// The server is not there, busy, refuses, or goes away.
pub fn run(
    target: &Target,
    plan: &Plan,
    interval: Duration,
    audience: &mut dyn Audience,
) -> Result<Record> {
    let connection =
        socket::connect(&target.host, target.port, target.family, target.from, target.patience)?;
    let mut plan = plan.clone();
    if plan.length == 0 {
        plan.length = datagram_length(connection.tcp_mss().unwrap_or(0));
    }
    let plan = Arc::new(plan);
    let mut control = Control::new(connection.into(), PATIENCE)?;
    let server = control.socket().peer_addr().context("asking for the server's address")?;
    let local = control.socket().local_addr().context("asking for the own address")?.ip();
    let cookie = Cookie::random()?;
    control.send(cookie.bytes())?;
    expect(&mut control, State::ParamExchange)?;
    control.send_json(&params::encode(&plan))?;
    expect(&mut control, State::CreateStreams)?;
    let sockets = (0..plan.connections()).map(|_| socket::join(&plan, server, local, &cookie));
    let sockets = sockets.collect::<Result<Vec<_>>>()?;
    expect(&mut control, State::TestStart)?;
    let setting = Setting::new(&plan, true, cookie, target.host.clone(), target.port, &sockets);
    audience.begins(&setting);
    expect(&mut control, State::TestRunning)?;
    let traffic = Traffic::start(&plan, sockets, true)?;
    measure(control, traffic, setting, interval, audience)
}

fn measure(
    mut control: Control,
    mut traffic: Traffic,
    setting: Setting,
    interval: Duration,
    audience: &mut dyn Audience,
) -> Result<Record> {
    let plan = setting.plan.clone();
    let mut ledger = traffic.ledger();
    // The server is told that it is over, whoever wants it.
    let over = |ledger: &Ledger, now: &Moment| interrupt::stopped() || is_over(&plan, ledger, now);
    let mut show = |span: &Span| audience.passes(&setting, span);
    match traffic.watch(&mut control, &mut ledger, interval, &over, &mut show)? {
        End::Here => {
            // First the blocks under way: the server may read nothing once it has heard.
            traffic.finish_sending();
            control.send_state(State::TestEnd)?;
        }
        End::There(state) => return Err(unexpected(&mut control, state)),
    }
    traffic.finish();
    expect(&mut control, State::ExchangeResults)?;
    control.send_json(&results::encode(&Record::results(&setting, &ledger)))?;
    let peer: Value = control.receive_json(results::MAX_BYTES_WITH_REPORT)?;
    expect(&mut control, State::DisplayResults)?;
    control.send_state(State::Done)?;
    Ok(Record { setting, ledger, peer: results::decode(&peer) })
}

fn is_over(plan: &Plan, ledger: &Ledger, now: &Moment) -> bool {
    if ledger.is_warming() {
        return false;
    }
    let (sent, received) = ledger.moved(now);
    match plan.bytes {
        Some(bytes) if plan.direction == Direction::Reverse => received >= bytes,
        Some(bytes) => sent >= bytes,
        None => now.at >= plan.omit + plan.time,
    }
}

/// What fits a packet of a path that carries TCP segments of this size.
fn datagram_length(mss: u32) -> usize {
    usize::try_from(mss).ok().filter(|mss| (500..=65_507).contains(mss)).unwrap_or(1460)
}

fn expect(control: &mut Control, state: State) -> Result<()> {
    let got =
        control.receive_state().with_context(|| format!("waiting for the server's {state:?}"))?;
    if got == state { Ok(()) } else { Err(unexpected(control, got)) }
}

fn unexpected(control: &mut Control, state: State) -> anyhow::Error {
    match state {
        State::AccessDenied => anyhow!("busy: the server takes no more tests now; try again later"),
        State::ServerTerminate => {
            anyhow!("the server ended the test: its limit is reached, or it is going down")
        }
        State::ServerError => match control.receive_error() {
            Ok((code, _)) => anyhow!("{}", Refused::explain(code)),
            Err(error) => error.context("the server cannot do this test and does not say why"),
        },
        other => anyhow!("the server sent {other:?}, which is out of turn"),
    }
}

/// Whether an answer to a test has data to show. That all datagrams were lost is a finding.
///
/// # Errors
/// Not a byte came: something between the ends lets connections pass and no data.
pub fn check(record: &Record) -> Result<()> {
    let flows = record.flows();
    let told = flows.iter().any(|flow| flow.received > 0 || flow.tail > 0);
    let protocol = record.setting.plan.protocol.name();
    ensure!(told, "not a byte arrived over {protocol}: the path is broken");
    Ok(())
}
