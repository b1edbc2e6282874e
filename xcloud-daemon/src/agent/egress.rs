//! The thread that reads the opt-in account of what leaves by the uplinks, and names whose it is.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use log::warn;
use nix::ifaddrs::getifaddrs;
use xcloud_common::egress::Key;

use super::{hooks::SharedHooks, stages::interface_name};
use crate::{
    kernel::egress::{Egress, Left},
    wire::{client::SharedOutbox, outbox::egress::Labels},
};

/// How often it is read: as many senders and destinations as a bank has cells can be told apart in that time, on each
/// processor.
const PERIOD: Duration = Duration::from_secs(1);

/// What the thread works on.
#[derive(Debug)]
pub struct Accountant {
    egress: Egress,
    hooks: SharedHooks,
    outbox: SharedOutbox,
    started: Instant,
    failed: bool,
}

/// The running thread.
#[derive(Debug)]
pub struct Accounting {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Accountant {
    /// Keeps account from now on.
    #[must_use]
    pub fn new(egress: Egress, hooks: &SharedHooks, outbox: &SharedOutbox) -> Self {
        let (hooks, outbox) = (hooks.clone(), outbox.clone());
        Self { egress, hooks, outbox, started: Instant::now(), failed: false }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// There is no room for one.
    pub fn spawn(mut self) -> Result<Accounting> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("account".into()).spawn(move || {
            loop {
                let go_on = stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout);
                self.read();
                if !go_on {
                    return;
                }
            }
        });
        Ok(Accounting { stop, thread: thread.context("starting the thread that keeps account")? })
    }

    /// What cannot be read now is still there the next time.
    fn read(&mut self) {
        let left = match self.egress.drain() {
            Ok(left) => left,
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    warn!("what leaves by the uplinks cannot be read: {error:#}");
                }
                return;
            }
        };
        let counted_for_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let addresses = addresses(&self.hooks);
        let names = Names::of(&left, &self.hooks);
        let mut outbox = self.outbox.lock();
        outbox.egress.set_addresses(addresses);
        outbox.egress.add(&left, counted_for_ns, |key| names.labels(key));
    }
}

/// Addresses of the uplinks that other nodes can send to.
pub(super) fn addresses(hooks: &SharedHooks) -> Vec<Vec<u8>> {
    let hooks = hooks.lock();
    let uplinks = hooks.uplinks();
    let of_uplinks =
        getifaddrs().into_iter().flatten().filter(|one| uplinks.contains(&&*one.interface_name));
    let mut addresses: Vec<Vec<u8>> = of_uplinks
        .filter_map(|one| {
            let address = one.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            let v6 = || address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
            octets(v4.or_else(v6)?)
        })
        .collect();
    addresses.sort_unstable();
    addresses
}

/// The bytes of an address that other nodes can send to.
fn octets(address: IpAddr) -> Option<Vec<u8>> {
    match address {
        IpAddr::V4(v4) => (!v4.is_link_local()).then(|| v4.octets().into()),
        IpAddr::V6(v6) => (!v6.is_unicast_link_local()).then(|| v6.octets().into()),
    }
}

/// Interfaces by index: the name, and whether it is a pod's. Looked up beforehand, so that the outbox is not locked while
/// hooks are put on.
struct Names(HashMap<u32, (String, bool)>);

impl Names {
    fn of(left: &Left, hooks: &SharedHooks) -> Self {
        let named: HashSet<u32> =
            left.keys().flat_map(|key| [key.came_in_by(), key.uplink()]).collect();
        let hooks = hooks.lock();
        let name = |index| (index, (interface_name(index), hooks.is_pod(index)));
        Self(named.into_iter().map(name).collect())
    }

    fn labels(&self, key: &Key) -> Labels {
        let of = |index| self.0.get(&index).cloned().unwrap_or_default();
        let (interface, from_pod) = of(key.came_in_by());
        Labels { uplink: of(key.uplink()).0, interface, from_pod }
    }
}

impl Accounting {
    /// Reads a last time and ends the thread; the hooks are off by then.
    ///
    /// # Errors
    /// It panicked.
    pub fn finish(self) -> Result<()> {
        drop(self.stop);
        if self.thread.join().is_err() {
            bail!("the thread that does it panicked");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_only_a_link_knows_are_not_told() {
        let of = |text: &str| octets(text.parse().expect(text)).map(|bytes| bytes.len());
        assert_eq!((of("10.0.0.1"), of("fd00::1")), (Some(4), Some(16)));
        assert_eq!((of("169.254.0.1"), of("fe80::1")), (None, None));
    }
}
