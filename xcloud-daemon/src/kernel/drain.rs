//! From the ring to samples.

use std::{fmt, ptr};

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use tracing::debug;
use xcloud_common::{record::Record, sample::Sample};

/// The user side of the ring.
pub struct Ring {
    records: RingBuf<MapData>,
    torn: u64,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl Ring {
    /// Takes the ring out of a loaded object.
    ///
    /// # Errors
    /// The object has no such map, or it was taken already.
    pub fn take(ebpf: &mut aya::Ebpf) -> Result<Self> {
        let map = ebpf.take_map("SAMPLES").context("the kernel object has no map SAMPLES left")?;
        Ok(Self { records: RingBuf::try_from(map)?, torn: 0 })
    }

    /// Moves at most `max` samples into `out` and says how many it moved.
    pub fn drain(&mut self, out: &mut Vec<Sample>, max: usize) -> usize {
        let before = out.len();
        while out.len() - before < max
            && let Some(bytes) = self.records.next()
        {
            if bytes.len() < size_of::<Record>() {
                continue;
            }
            // SAFETY: long enough, any bytes make a record, and the read asks for no alignment.
            let record: Record = unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) };
            match record.sample() {
                Some(sample) => out.push(sample),
                None => {
                    self.torn += record.observations();
                    debug!(
                        "the slot of an exchange at interface {} changed hands under its answer",
                        record.pod_ifindex
                    );
                }
            }
        }
        out.len() - before
    }

    /// Observations so far whose slot changed hands while they were copied or whose stamps were out of order.
    #[must_use]
    pub fn torn(&self) -> u64 {
        self.torn
    }
}
