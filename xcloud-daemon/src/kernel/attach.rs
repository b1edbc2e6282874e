//! Loads the kernel programs and attaches them to interfaces.

use anyhow::{Result, bail};
use xcloud_common::{config::Config, counter::COUNTERS, sample::Sample};

use super::{ifaces::Interface, probe::Plan};

/// The kernel programs in force; dropping them detaches all.
#[derive(Debug)]
pub struct Programs {}

/// The ring the kernel programs write samples to.
#[derive(Debug)]
pub struct Ring {}

/// Who loads the programs; names the pinned counters.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Stable name of the agent.
    pub agent_id: String,
    /// Random name of this life of the agent.
    pub boot_id: [u8; 16],
}

impl Programs {
    /// Loads the programs that the plan asks for.
    pub fn load(_plan: &Plan, _config: Config, _owner: &Owner) -> Result<Self> {
        bail!("this build has no kernel programs")
    }

    /// Puts the hooks of its role on an interface and says which.
    pub fn attach(&mut self, _interface: &Interface) -> Result<Vec<String>> {
        Ok(vec![])
    }

    /// Takes the hooks off an interface; none there is no error.
    pub fn detach(&mut self, _ifindex: u32) {}

    /// Replaces what the programs are told.
    pub fn set_config(&mut self, _config: Config) -> Result<()> {
        Ok(())
    }

    /// The counters, summed over CPUs.
    pub fn counters(&self) -> Result<[u64; COUNTERS as usize]> {
        Ok([0; COUNTERS as usize])
    }

    /// The reading end of the ring.
    pub fn take_ring(&mut self) -> Result<Ring> {
        Ok(Ring {})
    }

    /// Back ends in force, as `hook=back_end`.
    #[must_use]
    pub fn hooks(&self) -> Vec<String> {
        vec![]
    }

    /// Boot id and final counters of an earlier life that was killed.
    #[must_use]
    pub fn predecessor(&self) -> Option<([u8; 16], [u64; COUNTERS as usize])> {
        None
    }
}

impl Ring {
    /// Moves at most `max` samples to `samples` and says how many there were.
    pub fn drain(&mut self, _samples: &mut Vec<Sample>, _max: usize) -> usize {
        0
    }
}
