//! Which stages of CNI segments `xcloud agent --stages` could tell here.

use std::{ffi::CString, io};

use serde::Serialize;

use crate::kernel::{
    probe::Answer,
    stages::{self, Probe},
    trial::kprobe::EmptyProbe,
};

/// A function that the stage profile probes, and whether it can be probed now. Serialised names are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probed {
    /// The function.
    pub function: &'static str,
    /// The stage it is probed for; none for the one function that ends every stage.
    pub stage: Option<&'static str>,
    /// Whether an empty program could be put on it.
    pub answer: Answer,
    /// Why not, if not.
    pub detail: String,
}

/// Puts an empty program on every function of the profile, for a moment.
pub(super) fn look() -> Vec<Probed> {
    let attach = |probe: &Probe| {
        let function = CString::new(probe.function).map_err(io::Error::other)?;
        EmptyProbe::attach(&function, false).map(drop)
    };
    stages::all().map(|probe| judge(probe, attach(probe))).collect()
}

/// What a trial says of a function.
pub(super) fn judge(probe: &'static Probe, trial: io::Result<()>) -> Probed {
    let (answer, detail) = match trial {
        Ok(()) => (Answer::Yes, "tried".to_owned()),
        Err(error) => match error.raw_os_error() {
            Some(libc::EOPNOTSUPP) => (Answer::No, "this kernel has no kprobes".to_owned()),
            Some(libc::ENOENT | libc::EINVAL) => (Answer::No, stages::why(probe, &error.into())),
            _ => (Answer::Unknown, stages::why(probe, &error.into())),
        },
    };
    let stage = (!probe.ends_every_stage()).then(|| probe.stage.name());
    Probed { function: probe.function, stage, answer, detail }
}
