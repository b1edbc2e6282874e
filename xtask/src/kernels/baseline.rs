//! What programs cost the verifier, against what they did.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use anyhow::{Context as _, Result};

use crate::bpf;

/// A tenth more than before is too much: it hides a loop that the verifier no longer sees as one.
const MOST: f64 = 1.1;

/// Instructions the verifier looked at: kernel, program, count.
pub(super) type Counts = BTreeMap<String, BTreeMap<String, u64>>;

fn path() -> PathBuf {
    bpf::root().join("xtask/kernels/verifier.toml")
}

pub(super) fn read() -> Result<Counts> {
    let path = path();
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("understanding {}", path.display()))
}

/// Replaces the figures of the kernels given.
pub(super) fn write(counts: &Counts) -> Result<()> {
    let mut all = read().unwrap_or_default();
    all.extend(counts.clone());
    let head = "# Instructions the verifier looks at, by kernel and program; `cargo xtask kernels --bless` writes it.\n\n";
    let path = path();
    fs::write(&path, head.to_owned() + &toml::to_string(&all)?)
        .with_context(|| format!("writing {}", path.display()))
}

/// What differs too much, in words.
pub(super) fn compare(old: &Counts, new: &Counts) -> Vec<String> {
    let mut wrong = Vec::new();
    for (kernel, programs) in new {
        let before = old.get(kernel).cloned().unwrap_or_default();
        let names: BTreeSet<_> = before.keys().chain(programs.keys()).collect();
        for name in names {
            match (before.get(name), programs.get(name)) {
                (Some(was), Some(is)) if *is as f64 <= *was as f64 * MOST => {}
                (Some(was), Some(is)) => wrong.push(format!(
                    "{kernel}: {name} costs the verifier {is} instructions, it was {was}"
                )),
                (None, _) => wrong.push(format!("{kernel}: {name} has no figure to compare with")),
                (_, None) => wrong.push(format!("{kernel}: {name} is gone")),
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_more_is_allowed_and_no_program_comes_or_goes_unseen() {
        let counts = |pairs: &[(&str, u64)]| {
            let programs = pairs.iter().map(|(name, count)| ((*name).into(), *count)).collect();
            Counts::from([("6.12".into(), programs)])
        };
        let old = counts(&[("pod_out", 1000)]);
        assert!(compare(&old, &counts(&[("pod_out", 1100)])).is_empty());
        assert_eq!(compare(&old, &counts(&[("pod_out", 1101)])).len(), 1);
        assert_eq!(compare(&old, &counts(&[("pod_in", 1)])).len(), 2);
        assert!(compare(&old, &Counts::new()).is_empty());
    }
}
