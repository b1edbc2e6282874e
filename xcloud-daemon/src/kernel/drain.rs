//! From the ring to samples.

use std::{fmt, ptr};

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use xcloud_common::sample::Sample;

/// The user side of the ring.
pub struct Ring(RingBuf<MapData>);

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
        Ok(Self(RingBuf::try_from(map)?))
    }

    /// Moves at most `max` samples into `out` and says how many it moved.
    pub fn drain(&mut self, out: &mut Vec<Sample>, max: usize) -> usize {
        let before = out.len();
        while out.len() - before < max
            && let Some(record) = self.0.next()
        {
            if record.len() >= size_of::<Sample>() {
                // SAFETY: long enough, any bytes make a sample, and the read asks for no alignment.
                out.push(unsafe { ptr::read_unaligned(record.as_ptr().cast()) });
            }
        }
        out.len() - before
    }
}
