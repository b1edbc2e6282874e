//! One client's test, from its wish to its results.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{Arc, mpsc::RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use socket2::Socket;

use super::{
    super::{
        cookie::Cookie,
        ledger::{Ledger, Moment},
        params::{self, Refused},
        plan::{Plan, Protocol},
        protocol::{Control, State},
        record::{Record, Setting},
        results,
        socket::{plain, prepare},
        traffic::{End, Traffic},
    },
    datagrams,
    host::{Expected, Host},
};

/// How long a client may take for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How much longer than agreed a test may take: the client's clock, and the way of its word.
const GRACE: Duration = Duration::from_secs(10);

/// Serves a test.
pub(super) fn serve(
    host: &Arc<Host>,
    control: &mut Control,
    cookie: Cookie,
    client: &str,
) -> Result<()> {
    control.send_state(State::ParamExchange)?;
    let wish: Value = control.receive_json(params::MAX_BYTES)?;
    let plan = match params::decode(&wish).and_then(|plan| allowed(host, plan)) {
        Ok(plan) => Arc::new(plan),
        Err(refused) => {
            control.send_error(refused.code())?;
            bail!("{} ({wish})", Refused::explain(refused.code()));
        }
    };
    let Some(place) = host.test() else {
        control.send_state(State::AccessDenied)?;
        bail!("busy: told to try again later, {} tests run", host.limits.tests);
    };
    let done = test(host, control, cookie, client, &plan);
    drop(place);
    host.test_over();
    done
}

fn allowed(host: &Host, plan: Plan) -> Result<Plan, Refused> {
    let longest = host.limits.duration;
    let most = host.limits.bytes.unwrap_or(u64::MAX);
    if plan.omit + plan.time > longest {
        return Err(Refused::Duration);
    }
    if plan.bytes.is_some_and(|bytes| bytes > most) {
        return Err(Refused::Bytes);
    }
    Ok(plan)
}

fn test(
    host: &Arc<Host>,
    control: &mut Control,
    cookie: Cookie,
    client: &str,
    plan: &Arc<Plan>,
) -> Result<()> {
    let sockets = connections(host, control, cookie, plan)?;
    control.send_state(State::TestStart)?;
    let setting = Setting::new(plan, false, cookie, client.into(), host.port, &sockets);
    let mut traffic = Traffic::start(plan, sockets, false)?;
    control.send_state(State::TestRunning)?;
    let mut ledger = traffic.ledger();
    watch(host, control, &mut traffic, &mut ledger, plan)?;
    traffic.close();
    let record = exchange(host, control, setting, ledger)?;
    host.clerk.made(&record);
    control.send_state(State::DisplayResults)?;
    // The client's last word is a courtesy; some leave without.
    drop(control.receive_state_within(Duration::from_secs(2)));
    Ok(())
}

fn watch(
    host: &Host,
    control: &mut Control,
    traffic: &mut Traffic,
    ledger: &mut Ledger,
    plan: &Plan,
) -> Result<()> {
    let longest = host.limits.duration.min(plan.whole_time()) + GRACE;
    let most = host.limits.bytes.unwrap_or(u64::MAX);
    let over = |_: &Ledger, now: &Moment| {
        now.at > longest || now.readings.iter().map(|r| r.count.bytes).sum::<u64>() > most
    };
    match traffic.watch(control, ledger, host.interval, &over, &mut |_| {})? {
        End::There(State::TestEnd) => Ok(()),
        End::There(State::ClientTerminate) => bail!("the client gave up"),
        End::There(state) => bail!("the client sent {state:?}, which is out of turn"),
        End::Here => {
            control.send_state(State::ServerTerminate)?;
            bail!("ended at the server's limit of time or bytes")
        }
    }
}

fn exchange(
    host: &Host,
    control: &mut Control,
    setting: Setting,
    ledger: Ledger,
) -> Result<Record> {
    control.send_state(State::ExchangeResults)?;
    let peer: Value = control.receive_json(results::MAX_BYTES)?;
    let mut own = Record::results(&setting, &ledger);
    let record = Record { setting, ledger, peer: results::decode(&peer) };
    own.report = record.setting.plan.server_output.then(|| host.clerk.report(&record));
    control.send_json(&results::encode(&own))?;
    Ok(record)
}

/// The data connections, in the order of the streams.
fn connections(
    host: &Arc<Host>,
    control: &mut Control,
    cookie: Cookie,
    plan: &Plan,
) -> Result<Vec<Socket>> {
    let until = Instant::now() + PATIENCE;
    let expected = match plan.protocol {
        Protocol::Tcp => host.expect(cookie),
        Protocol::Udp => wait_for_turn(host, control, until)?,
    };
    control.send_state(State::CreateStreams)?;
    let mut sockets = Vec::new();
    while sockets.len() < plan.connections() {
        let again = || {
            if plan.protocol == Protocol::Udp {
                sockets.iter().for_each(datagrams::greet_again);
            }
        };
        let socket = next(&expected, control.socket(), until, &again).with_context(|| {
            format!("{} of {} data connections came", sockets.len(), plan.connections())
        })?;
        if let Err(error) = prepare(&socket, plan) {
            control.send_error(if plan.congestion.is_some() { 134 } else { 124 })?;
            return Err(error);
        }
        sockets.push(socket);
    }
    Ok(sockets)
}

fn wait_for_turn(host: &Arc<Host>, control: &Control, until: Instant) -> Result<Expected> {
    let end = |address: std::io::Result<SocketAddr>| plain(address.ok());
    let from = end(control.socket().peer_addr()).ip();
    let local = end(control.socket().local_addr());
    while Instant::now() < until {
        if let Some(expected) = host.expect_datagrams(from, local) {
            return Ok(expected);
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("another test from {from} was still opening its datagram sockets")
}

fn next(
    expected: &Expected,
    control: &TcpStream,
    until: Instant,
    meanwhile: &dyn Fn(),
) -> Result<Socket> {
    loop {
        match expected.sockets.recv_timeout(Duration::from_millis(100)) {
            Ok(socket) => return Ok(socket),
            Err(RecvTimeoutError::Disconnected) => bail!("the server is going down"),
            Err(RecvTimeoutError::Timeout) => {
                ensure!(Instant::now() < until, "the client opens no more");
                ensure!(is_open(control), "the client left");
                meanwhile();
            }
        }
    }
}

/// Whether the peer is still there, as far as is known.
fn is_open(socket: &TcpStream) -> bool {
    let comes = super::super::protocol::readable(std::os::fd::AsFd::as_fd(socket), Duration::ZERO);
    !comes.unwrap_or(true) || matches!(socket.peek(&mut [0]), Ok(1..))
}
