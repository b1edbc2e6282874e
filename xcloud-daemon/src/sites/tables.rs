//! The aggregator's tables of networks, kept as their files say.

use anyhow::Result;

use super::{Sites, follow::Follower, ranges};
use crate::{cli::names::PathNamesArgs, wire::server::Hub};

/// The files.
#[derive(Debug)]
pub struct Tables {
    operators: Option<Follower>,
    providers: Vec<Follower>,
}

impl Tables {
    /// Reads all files.
    ///
    /// # Errors
    /// One cannot be read, or is wrong.
    pub fn begin(args: &PathNamesArgs, hub: &Hub) -> Result<Self> {
        let mut tables = Self { operators: None, providers: Vec::new() };
        if let Some(path) = &args.sites {
            let (follower, networks) = Follower::begin(path, Sites::read)?;
            hub.set_sites(networks);
            tables.operators = Some(follower);
        }
        for (number, path) in args.ip_ranges.iter().enumerate() {
            let (follower, networks) = Follower::begin(path, ranges::read)?;
            hub.set_ranges(number, networks);
            tables.providers.push(follower);
        }
        Ok(tables)
    }

    /// Reads those again that have changed; a wrong one changes nothing.
    pub fn look(&mut self, hub: &Hub) {
        if let Some(networks) = self.operators.as_mut().and_then(changed) {
            hub.set_sites(networks);
        }
        for (number, follower) in self.providers.iter_mut().enumerate() {
            if let Some(networks) = changed(follower) {
                hub.set_ranges(number, networks);
            }
        }
    }
}

fn changed(follower: &mut Follower) -> Option<Sites> {
    match follower.look()? {
        Ok(networks) => {
            log::info!(
                "networks and their sites were read again from {}",
                follower.path().display()
            );
            Some(networks)
        }
        Err(error) => {
            log::warn!("networks and their sites stay as they were: {error:#}");
            None
        }
    }
}
