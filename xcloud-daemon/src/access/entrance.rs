//! Who is let in, how many at once, and what is told of those who are not.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::time::{Instant, interval};

use super::{
    bucket::Rate,
    credentials::Credentials,
    grant::Grant,
    refusals::Refusals,
    seats::{Full, Limits, Party, Seats},
    serving::{self, Serving},
};
use crate::{
    cli::{
        Address,
        access::{AccessArgs, TlsArgs},
    },
    usage::usage,
};

/// How often is looked whether refusals are to be told.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often certificates are looked at, unless told otherwise.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Calls a second of a connection, unless told otherwise.
pub const CALLS_PER_SECOND: u32 = 200;

/// Who is let in, how many, and what came of it.
#[derive(Debug)]
pub struct Entrance {
    /// Certificates, where TLS is spoken.
    pub tls: Option<Arc<Credentials<Serving>>>,
    /// Who may do what.
    pub grants: Vec<Grant>,
    /// How often certificates are looked at.
    look_every: Duration,
    /// How often a connection may call.
    pub call_rate: Rate,
    seats: Mutex<Seats>,
    refusals: Mutex<Refusals>,
    start: Instant,
}

impl Default for Entrance {
    fn default() -> Self {
        Self::new(Limits::default(), CALLS_PER_SECOND)
    }
}

impl Entrance {
    /// One without TLS.
    #[must_use]
    pub fn new(limits: Limits, calls_per_second: u32) -> Self {
        let per_second = f64::from(calls_per_second);
        Self {
            tls: None,
            grants: Vec::new(),
            look_every: LOOK_EVERY,
            call_rate: Rate { per_second, burst: 2.0 * per_second },
            seats: Mutex::new(Seats::new(limits)),
            refusals: Mutex::default(),
            start: Instant::now(),
        }
    }

    /// As an aggregator's flags say.
    ///
    /// # Errors
    /// They make no sense, certificates are wrong, or it would be open to everybody without anybody having said so.
    pub fn of(args: &AccessArgs, tls: &TlsArgs, listen: &[Address]) -> Result<Self> {
        let serving = serving::of(tls)?.map(Arc::new);
        check(args, serving.is_some(), listen)?;
        let limits = Limits {
            all: make_room(args.max_connections)?,
            per_peer: args.max_connections_per_peer,
            ..Limits::default()
        };
        let (grants, look_every) = (args.roles.clone(), tls.tls_poll);
        Ok(Self { tls: serving, grants, look_every, ..Self::new(limits, args.max_call_rate) })
    }

    /// Time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a refusal, and tells of it if this peer's were not told lately.
    pub fn refuse(&self, peer: &str, why: &str) {
        let line = self.refusals().count(self.now(), peer, why);
        if let Some(line) = line {
            tracing::warn!("{line}");
        }
    }

    /// Looks after certificates, and tells of refusals that were only counted so far, for ever.
    pub async fn mind(&self) {
        let tell = async {
            let mut ticks = interval(TELL_EVERY);
            loop {
                ticks.tick().await;
                let lines = self.refusals().due(self.now());
                for line in lines {
                    tracing::warn!("{line}");
                }
            }
        };
        match &self.tls {
            Some(tls) => tokio::join!(tell, tls.follow(self.look_every)).0,
            None => tell.await,
        }
    }
}

/// A place that a connection takes, and gives back however it ends.
#[derive(Debug)]
pub struct Seat {
    entrance: Arc<Entrance>,
    party: Party,
    settled: bool,
}

impl Seat {
    /// Takes one, if there is one.
    ///
    /// # Errors
    /// There is none for this party.
    pub fn take(entrance: &Arc<Entrance>, party: Party) -> Result<Self, Full> {
        let now = entrance.now();
        entrance.seats().take(party, now)?;
        Ok(Self { entrance: Arc::clone(entrance), party, settled: false })
    }

    /// Where it was taken.
    #[must_use]
    pub const fn entrance(&self) -> &Arc<Entrance> {
        &self.entrance
    }

    /// The connection has said what it wants.
    pub fn settle(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            self.entrance.seats().settle(self.party);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.entrance.seats().leave(self.party, self.settled);
    }
}

/// Makes room for as many open files as there may be connections; returns for how many there is.
fn make_room(connections: usize) -> Result<usize> {
    /// Files beside connections.
    const OTHERS: u64 = 128;
    let wanted = (connections as u64).saturating_add(OTHERS);
    let asking = "the limit on open files";
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context(asking)?;
    let most = wanted.min(hard);
    if soft < most {
        setrlimit(Resource::RLIMIT_NOFILE, most, hard).context(asking)?;
    }
    if most < wanted {
        let room = most.saturating_sub(OTHERS);
        tracing::warn!(
            "--max-connections {connections}: this system's limit on open files leaves room for {room}"
        );
    }
    Ok(usize::try_from(most.saturating_sub(OTHERS)).unwrap_or(connections).max(1))
}

/// Whether addresses and flags go together.
fn check(args: &AccessArgs, tls: bool, listen: &[Address]) -> Result<()> {
    if args.max_connections == 0 || args.max_connections_per_peer == 0 || args.max_call_rate == 0 {
        return Err(usage("--max-… of 0 would let nobody in"));
    }
    if tls && args.roles.is_empty() {
        return Err(usage(
            "TLS is on and no --role says who may do what, so every call would be refused: give --role, as in \
             --role agent=spiffe://example.org/ns/xcloud/sa/agent",
        ));
    }
    if !tls && !args.roles.is_empty() {
        return Err(usage(
            "--role is given without --tls-cert, --tls-key and --tls-ca, so nobody could be told apart",
        ));
    }
    for address in listen {
        let (secure, beyond) = match address {
            Address::Tcp(address) => (None, !address.ip().to_canonical().is_loopback()),
            Address::Host(host) => {
                let Ok(ip) = host.name.parse::<IpAddr>() else {
                    return Err(usage(format!(
                        "--listen {address}: an address to listen on is an IP address"
                    )));
                };
                (host.secure, !ip.to_canonical().is_loopback())
            }
            Address::Unix(_) => continue,
        };
        if secure.is_some_and(|secure| secure != tls) {
            let has = if tls { "with" } else { "without" };
            return Err(usage(format!(
                "--listen {address}: this process was started {has} --tls-cert"
            )));
        }
        if beyond && !tls && !args.insecure {
            return Err(usage(format!(
                "--listen {address} is open to other machines, and without TLS whoever reaches it may do everything: give \
                 --tls-cert, --tls-key, --tls-ca and --role, or --insecure where the network itself keeps strangers out"
            )));
        }
    }
    Ok(())
}
