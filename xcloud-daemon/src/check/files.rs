//! Whether an aggregator could put other files out of its reach here.

use anyhow::Result;
use serde::Serialize;

use crate::{
    access::confine::{LandlockStatus, WANTED},
    kernel::probe::Answer,
};

/// What is out of reach then.
const CONFINED: &str = "an aggregator here opens nothing but its certificates, configuration, tables of sites, sockets and \
                        results of load tests";
/// What else to do about it.
const INSTEAD: &str = "an aggregator here may open whatever its user may: run it as a user of its own, with a root file system \
                       that is only to be read, as the chart does";

/// Landlock, as this kernel has it. Serialised names are stable.
#[derive(Clone, Debug, Serialize)]
pub struct Files {
    /// Whether it can be used.
    pub landlock: Answer,
    /// Its version.
    pub abi: Option<i32>,
    /// What follows, and what to do.
    pub detail: String,
}

/// What a trial says.
pub(super) fn judge(trial: Result<LandlockStatus>) -> Files {
    let (landlock, abi, detail) = match trial {
        Ok(LandlockStatus::Available { effective_abi, kernel_abi }) => {
            let abi = kernel_abi.unwrap_or(effective_abi as i32);
            (Answer::Yes, Some(abi), able(abi))
        }
        Ok(LandlockStatus::NotEnabled) => {
            let why = "this kernel has it switched off (add landlock to lsm= of its command line)";
            (Answer::No, None, format!("{why}, so {INSTEAD}"))
        }
        Ok(LandlockStatus::NotImplemented) => {
            let why = "this kernel does not have it (Linux 5.13 and newer do, with CONFIG_SECURITY_LANDLOCK), or a filter of \
                       system calls hides it";
            (Answer::No, None, format!("{why}, so {INSTEAD}"))
        }
        Err(error) => (Answer::Unknown, None, format!("{error:#}")),
    };
    Files { landlock, abi, detail }
}

fn able(abi: i32) -> String {
    let lacking = match abi {
        ..3 => ", but can still cut other files short, which ABI 3 (Linux 6.2) forbids",
        3.. if abi < WANTED as i32 => {
            ", but can still control devices, which ABI 5 (Linux 6.10) forbids"
        }
        _ => "",
    };
    format!("ABI {abi}: {CONFINED}{lacking}")
}
