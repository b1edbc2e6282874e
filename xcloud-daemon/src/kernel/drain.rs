//! From the ring to samples.

use std::{fmt, ptr};

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use log::debug;
use xcloud_common::{record::Record, sample::Sample};

/// What a record takes in the ring beyond its own bytes, and what it is padded to.
const HEADER_BYTES: usize = 8;

/// The user side of the ring.
pub struct Ring {
    records: RingBuf<MapData>,
    torn: u64,
    bytes: u64,
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
        Ok(Self { records: RingBuf::try_from(map)?, torn: 0, bytes: 0 })
    }

    /// Moves at most `max` samples into `out` and says how many it moved.
    pub fn drain(&mut self, out: &mut Vec<Sample>, max: usize) -> usize {
        let before = out.len();
        while out.len() - before < max
            && let Some(bytes) = self.records.next()
        {
            self.bytes += (HEADER_BYTES + bytes.len().next_multiple_of(HEADER_BYTES)) as u64;
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

    /// Bytes taken from the ring so far, with all that records take in it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Observations so far whose slot changed hands while they were copied or whose stamps were out of order.
    #[must_use]
    pub fn torn(&self) -> u64 {
        self.torn
    }
}
