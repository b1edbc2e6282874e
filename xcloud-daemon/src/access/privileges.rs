//! What this process may do to the system, given up thread by thread: capabilities belong to threads on Linux, and what a
//! thread starts has no more than itself.

use anyhow::{Context as _, Result};
use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl::set_no_new_privs;

/// What it takes to put programs on interfaces and functions and into pods' namespaces, whatever the kernel's age.
pub const TO_ATTACH: &[Capability] = &[
    Capability::CAP_BPF,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_PERFMON,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_SYS_RESOURCE,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_SYSLOG,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
];

/// What it takes to read and write maps where the kernel wants a right for that.
pub const FOR_MAPS: &[Capability] = &[Capability::CAP_BPF, Capability::CAP_SYS_ADMIN];

/// Gives up all capabilities but these for good: on this thread, and on all that it starts from now on.
///
/// # Errors
/// The kernel refuses.
pub fn keep_only(kept: &[Capability]) -> Result<()> {
    set_no_new_privs().context("giving up new privileges")?;
    let permitted = caps::read(None, CapSet::Permitted).context("reading capabilities")?;
    let kept: CapsHashSet = kept.iter().copied().filter(|one| permitted.contains(one)).collect();
    let giving = "giving up capabilities";
    caps::clear(None, CapSet::Ambient).context(giving)?;
    caps::clear(None, CapSet::Inheritable).context(giving)?;
    // What is in effect must be permitted all the while.
    caps::set(None, CapSet::Effective, &kept).context(giving)?;
    caps::set(None, CapSet::Permitted, &kept).context(giving)
}

/// Gives up all capabilities, but these if something does not work without.
///
/// # Errors
/// The kernel refuses.
pub fn keep_if_needed(kept: &[Capability], works: impl FnOnce() -> bool) -> Result<()> {
    caps::clear(None, CapSet::Effective).context("doing without capabilities")?;
    if works() {
        return keep_only(&[]);
    }
    tracing::debug!("this kernel lets maps be read only with {kept:?}");
    keep_only(kept)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn effective() -> CapsHashSet {
        caps::read(None, CapSet::Effective).expect("Linux")
    }

    #[test]
    fn a_thread_that_gives_up_takes_nothing_from_others_and_its_children_get_nothing() {
        let before = effective();
        if before.is_empty() {
            eprintln!("skipped: this needs capabilities, so root");
            return;
        }
        let below = thread::spawn(|| {
            keep_only(&[]).expect("it may");
            let child = thread::spawn(effective).join().expect("no panic");
            (effective(), child)
        });
        assert_eq!(below.join().expect("no panic"), (CapsHashSet::new(), CapsHashSet::new()));
        assert_eq!(effective(), before);
    }

    #[test]
    fn what_is_needed_is_kept_and_nothing_else() {
        if !effective().contains(&Capability::CAP_NET_ADMIN) {
            eprintln!("skipped: this needs CAP_NET_ADMIN, so root");
            return;
        }
        let kept = |works: bool| {
            let thread = thread::spawn(move || {
                keep_if_needed(&[Capability::CAP_NET_ADMIN], || works).expect("it may");
                effective()
            });
            thread.join().expect("no panic")
        };
        assert_eq!(kept(true), CapsHashSet::new());
        assert_eq!(kept(false), CapsHashSet::from([Capability::CAP_NET_ADMIN]));
    }
}
