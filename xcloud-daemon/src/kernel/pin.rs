//! Keeps the kernel's counters within reach of the agent's next life.
//!
//! A killed agent cannot say what its last observations came to. Its counter map is pinned under
//! `<bpffs>/xcloud/<agent>/<boot id>`, so that the next agent reads the final figures, reports them and, once an
//! aggregator took them, removes the pin. Nothing else is pinned: programs and links go with the process.
//!
//! Of several pins the oldest is reported, as it is the one of the life that an aggregator knew last: whoever came after
//! it was killed before an aggregator took it in, or it would have removed that pin. What such a life counted is lost,
//! as is all of it that waited to be sent.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, PerCpuArray};
use xcloud_common::counter::Counters;

use super::attach::sum_counters;

/// Who loads the programs.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Stable name of the agent.
    pub agent_id: String,
    /// Random name of this life of the agent.
    pub boot_id: [u8; 16],
    /// Where a BPF file system is mounted.
    pub bpffs: PathBuf,
}

/// Boot id and final counters of an earlier life that was killed.
pub type Predecessor = ([u8; 16], Counters);

/// The pin of the running agent; dropping it removes the pin, so that only a killed agent leaves one.
#[derive(Debug)]
pub struct Pin {
    path: PathBuf,
    /// What was left by the agent's last life that an aggregator may know.
    pub predecessor: Option<Predecessor>,
    /// Where that is, until it is told.
    untold: Option<PathBuf>,
}

impl Pin {
    /// Reads what earlier lives left, and pins this one's counters.
    ///
    /// # Errors
    /// The BPF file system is not there or cannot be written; then a kill loses figures, nothing else.
    pub fn new(owner: &Owner, counts: &MapData) -> Result<Self> {
        let directory = owner.bpffs.join("xcloud").join(directory_name(&owner.agent_id));
        fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        let (mut predecessor, mut untold) = (None, None);
        for path in oldest_first(&directory)? {
            if predecessor.is_none()
                && let Some(found) = read(&path)
            {
                (predecessor, untold) = (Some(found), Some(path));
                continue;
            }
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        let path = directory.join(hex(&owner.boot_id));
        counts.pin(&path).with_context(|| format!("pinning counters to {}", path.display()))?;
        Ok(Self { path, predecessor, untold })
    }

    /// An aggregator took the predecessor's figures, so its pin goes.
    pub fn told(&mut self) {
        if let Some(path) = self.untold.take() {
            remove(&path);
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!("removing {}: {error}", path.display());
    }
}

fn oldest_first(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        found.push((entry.metadata()?.modified()?, entry.path()));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn read(path: &Path) -> Option<Predecessor> {
    let boot_id = unhex(path.file_name()?.to_str()?)?;
    let map = Map::PerCpuArray(MapData::from_pin(path).ok()?);
    let counts = PerCpuArray::try_from(map).ok()?;
    Some((boot_id, sum_counters(&counts).ok()?))
}

/// The BPF file system allows no dots in names.
fn directory_name(agent_id: &str) -> String {
    agent_id
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' })
        .collect()
}

fn hex(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32).map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_survives_its_file_name() {
        let id = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xff];
        assert_eq!(unhex(&hex(&id)), Some(id));
        assert_eq!(unhex("00"), None);
        assert_eq!(unhex("../../../../../../../../../../etc"), None);
    }

    #[test]
    fn an_agents_name_is_one_plain_directory() {
        assert_eq!(directory_name("aws/us-east-1/../node.x"), "aws_us-east-1____node_x");
    }
}
