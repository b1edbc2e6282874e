//! What programs take, as far as the kernel keeps count.

use std::{os::fd::OwnedFd, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{ProgramError, ProgramInfo},
    sys::{Stats, enable_stats},
};

/// What the kernel counted of one program since it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    /// Its name.
    pub program: String,
    /// How often it ran.
    pub runs: u64,
    /// How long in all.
    pub time: Duration,
}

/// Runs of each program that is loaded; zero while the kernel keeps no statistics.
///
/// # Errors
/// The kernel does not tell.
pub fn run_times(ebpf: &Ebpf) -> Result<Vec<Runs>> {
    let mut all = Vec::new();
    for (name, program) in ebpf.programs() {
        let info: ProgramInfo = match program.info() {
            Ok(info) => info,
            Err(ProgramError::NotLoaded) => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("asking about program {name}"));
            }
        };
        all.push(Runs { program: name.into(), runs: info.run_count(), time: info.run_time() });
    }
    Ok(all)
}

/// Has the kernel keep statistics of all programs on the machine, until what is returned is dropped.
///
/// # Errors
/// The kernel is older than 5.8, or this process lacks `CAP_SYS_ADMIN`.
pub fn keep_statistics() -> Result<OwnedFd> {
    enable_stats(Stats::RunTime)
        .context("turning the kernel's BPF statistics on for --bpf-stats: Linux 5.8 and CAP_SYS_ADMIN are needed")
}
