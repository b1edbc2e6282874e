//! What this kernel can do, found by trying and never by version, and which hooks follow from that.

use std::{fs, io};

use serde::Serialize;

use super::{
    btf::{self, Btf},
    object, trial,
};

mod plan;

pub use plan::{DepartureHook, LOCKED, Plan, TcHook};

/// An answer of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It can.
    Yes,
    /// It cannot: it refused in the way that means so.
    No,
    /// The trial itself failed.
    Unknown,
}

/// Something asked of the kernel. Serialised names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// The kernel tells its types, so that structure fields can be found.
    Btf,
    /// Ring buffer map.
    RingBuffer,
    /// Classifier programs.
    SchedCls,
    /// Classifiers attached by TCX, which other agents cannot remove.
    Tcx,
    /// Classifiers attached to the clsact qdisc.
    Clsact,
    /// Typed tracepoint at the hand-over to the driver.
    TpBtfNetDevStartXmit,
    /// Untyped tracepoint there.
    RawTpNetDevStartXmit,
    /// Probe on the function that does it.
    KprobeDevHardStartXmit,
    /// Programs run as machine code.
    Jit,
    /// Program statistics are off, which cost time in every program run.
    StatsOff,
    /// May load programs.
    CapBpf,
    /// May attach to interfaces.
    CapNetAdmin,
    /// May trace.
    CapPerfmon,
    /// Kernel lockdown lets programs read kernel memory.
    LockdownAllows,
    /// Maps of the size used fit the limit on locked memory.
    Memlock,
}

/// What was found out about one feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was asked.
    pub feature: Feature,
    /// The answer.
    pub answer: Answer,
    /// Why, or what follows.
    pub detail: String,
}

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Asks the kernel everything.
#[must_use]
pub fn probe() -> Vec<Finding> {
    object::lift_memlock();
    let mut findings = capabilities();
    let types = Btf::running();
    findings.push(match &types {
        Ok(_) => finding(Feature::Btf, Answer::Yes, "kernel types are readable"),
        Err(error) => match fs::metadata(btf::VMLINUX) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => finding(
                Feature::Btf,
                Answer::No,
                "/sys/kernel/btf/vmlinux is missing: the kernel was built without CONFIG_DEBUG_INFO_BTF",
            ),
            _ => finding(Feature::Btf, Answer::Unknown, &format!("{error:#}")),
        },
    });
    findings.extend(programs(types.ok().as_ref()));
    // Without this right the kernel refuses such reads as well.
    let may =
        findings.iter().any(|one| one.feature == Feature::CapPerfmon && one.answer == Answer::Yes);
    findings.extend([stats(), lockdown(trial::kernel_reads(), may)]);
    findings
}

fn finding(feature: Feature, answer: Answer, detail: &str) -> Finding {
    Finding { feature, answer, detail: detail.into() }
}

fn programs(types: Option<&Btf>) -> Vec<Finding> {
    use libc::{E2BIG, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP};
    let typed = match types {
        Some(types) => judge(
            Feature::TpBtfNetDevStartXmit,
            trial::typed_tracepoint(types),
            &[EINVAL, ENOENT, E2BIG],
        ),
        None => {
            finding(Feature::TpBtfNetDevStartXmit, Answer::No, "needs the kernel's types (btf)")
        }
    };
    let classifier = trial::classifier();
    vec![
        judge(Feature::RingBuffer, trial::ring_buffer(), &[EINVAL]),
        jit(&classifier),
        judge(Feature::SchedCls, classifier.map(drop), &[EINVAL]),
        judge(Feature::Tcx, trial::tcx_attach(), &[EINVAL, EOPNOTSUPP, E2BIG]),
        judge(Feature::Clsact, trial::clsact_attach(), &[ENOENT, EOPNOTSUPP, EINVAL]),
        typed,
        judge(Feature::RawTpNetDevStartXmit, trial::raw_tracepoint(), &[EINVAL, ENOENT]),
        judge(
            Feature::KprobeDevHardStartXmit,
            trial::kprobe::hard_start_xmit(),
            &[EINVAL, ENOENT, EOPNOTSUPP],
        ),
        judge(Feature::Memlock, trial::slot_map(), &[ENOMEM]),
    ]
}

/// Yes when the trial went well, no only when it was refused in the expected way.
fn judge(feature: Feature, trial: io::Result<()>, refusals: &[i32]) -> Finding {
    let (answer, detail) = match trial {
        Ok(()) => (Answer::Yes, "tried".to_owned()),
        Err(error) => match error.raw_os_error() {
            Some(code) if refusals.contains(&code) => {
                (Answer::No, format!("the kernel refused: {error}"))
            }
            Some(libc::EPERM | libc::EACCES) => {
                (Answer::Unknown, format!("this process may not try: {error}"))
            }
            _ => (Answer::Unknown, format!("the trial failed: {error}")),
        },
    };
    finding(feature, answer, &detail)
}

fn jit(classifier: &io::Result<u32>) -> Finding {
    match classifier {
        Ok(0) => finding(
            Feature::Jit,
            Answer::No,
            "programs are interpreted, which costs several times as much; set net.core.bpf_jit_enable=1",
        ),
        Ok(_) => finding(Feature::Jit, Answer::Yes, "programs become machine code"),
        Err(error) => {
            finding(Feature::Jit, Answer::Unknown, &format!("no program could be loaded: {error}"))
        }
    }
}

fn capabilities() -> Vec<Finding> {
    let held = trial::capabilities();
    [
        (Feature::CapBpf, CAP_BPF, "CAP_BPF"),
        (Feature::CapNetAdmin, CAP_NET_ADMIN, "CAP_NET_ADMIN"),
        (Feature::CapPerfmon, CAP_PERFMON, "CAP_PERFMON"),
    ]
    .map(|(feature, bit, name)| {
        let may = |bit: u32| held.as_ref().map(|bits| bits >> bit & 1 == 1);
        // CAP_SYS_ADMIN includes the two newer ones, not CAP_NET_ADMIN.
        let stands_in = bit != CAP_NET_ADMIN && matches!(may(CAP_SYS_ADMIN), Ok(true));
        match may(bit) {
            Ok(true) => finding(feature, Answer::Yes, "held"),
            Ok(false) if stands_in => finding(feature, Answer::Yes, "included in CAP_SYS_ADMIN"),
            Ok(false) => finding(feature, Answer::No, &format!("{name} is not held")),
            Err(error) => finding(feature, Answer::Unknown, &error.to_string()),
        }
    })
    .into()
}

fn stats() -> Finding {
    match fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled") {
        Ok(text) if text.trim() == "0" => finding(Feature::StatsOff, Answer::Yes, "off"),
        Ok(_) => finding(
            Feature::StatsOff,
            Answer::No,
            "statistics cost some 20 ns in every program run; set kernel.bpf_stats_enabled=0",
        ),
        Err(error) => finding(
            Feature::StatsOff,
            Answer::Unknown,
            &format!("/proc/sys/kernel/bpf_stats_enabled: {error}"),
        ),
    }
}

/// Tried first, as containers mostly do not see the file.
fn lockdown(trial: io::Result<()>, may: bool) -> Finding {
    let told = fs::read_to_string("/sys/kernel/security/lockdown");
    let confidential = told.as_ref().is_ok_and(|told| told.contains("[confidentiality]"));
    let refusals: &[i32] = if may { &[libc::EINVAL] } else { &[] };
    match judge(Feature::LockdownAllows, trial, refusals) {
        Finding { answer: Answer::No, .. } => finding(
            Feature::LockdownAllows,
            Answer::No,
            "the kernel refuses programs that read its memory, as lockdown at confidentiality does; boot with lockdown=integrity",
        ),
        _ if confidential => finding(
            Feature::LockdownAllows,
            Answer::No,
            "lockdown is at confidentiality, which forbids reading kernel memory; boot with lockdown=integrity",
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i32) -> Answer {
        let trial = Err(io::Error::from_raw_os_error(code));
        judge(Feature::Tcx, trial, &[libc::EINVAL]).answer
    }

    #[test]
    fn only_the_expected_refusal_is_a_no() {
        assert_eq!(judge(Feature::Tcx, Ok(()), &[]).answer, Answer::Yes);
        assert_eq!(refused(libc::EINVAL), Answer::No);
        assert_eq!(refused(libc::EPERM), Answer::Unknown);
        assert_eq!(refused(libc::EMFILE), Answer::Unknown);
    }

    #[test]
    fn a_refusal_to_read_kernel_memory_is_lockdown_only_with_the_right_to() {
        let refused = || Err(io::Error::from_raw_os_error(libc::EINVAL));
        assert_eq!(lockdown(refused(), true).answer, Answer::No);
        assert_ne!(lockdown(refused(), false).answer, Answer::Yes);
    }

    #[test]
    fn every_feature_is_asked_once_whatever_this_process_may() {
        let findings = probe();
        assert_eq!(findings.len(), 15);
        for (index, one) in findings.iter().enumerate() {
            assert!(!one.detail.is_empty(), "{one:?}");
            assert!(findings[..index].iter().all(|o| o.feature != one.feature), "{one:?}");
        }
    }
}
