//! Processes in a lab's namespaces that it did not start: what `lab exec` left behind. They would outlive the lab, and
//! keep its namespaces though their names are gone.

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt as _, path::Path, process};

use anyhow::{Context as _, Result};

use super::state::{self, Process};

/// How often is looked whether those that were ended have started others.
const ROUNDS: u32 = 3;

/// Ends what runs in `namespaces` and is not among `known`, and says so; not us and those that we run for.
pub(super) fn end(namespaces: &[&str], known: &[Process]) -> Result<()> {
    for _ in 0..ROUNDS {
        let found = find(namespaces, known)?;
        if found.is_empty() {
            break;
        }
        let names: Vec<_> = found.iter().map(|one| format!("{} ({})", one.name, one.pid)).collect();
        eprintln!("ending what still runs in the lab: {}", names.join(", "));
        state::end(&found.iter().collect::<Vec<_>>());
    }
    Ok(())
}

fn find(namespaces: &[&str], known: &[Process]) -> Result<Vec<Process>> {
    let of_lab: HashSet<_> = namespaces.iter().filter_map(|name| named(name)).collect();
    let ours = ancestry();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("listing /proc")? {
        let name = entry.context("listing /proc")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may end while it is looked at: then it is none.
        let inside = identity(Path::new(&format!("/proc/{pid}/ns/net")));
        if !inside.is_some_and(|inside| of_lab.contains(&inside)) || ours.contains(&pid) {
            continue;
        }
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if let Ok(process) = Process::new(name.trim(), pid)
            && !known.iter().any(|one| one.pid == process.pid && one.started == process.started)
        {
            found.push(process);
        }
    }
    Ok(found)
}

fn named(namespace: &str) -> Option<(u64, u64)> {
    identity(&Path::new("/run/netns").join(namespace))
}

/// What a namespace is known by.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// This process and those that started it: `lab down` may be typed in the lab.
fn ancestry() -> HashSet<u32> {
    let parent = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok().filter(|pid| *pid > 0)
    };
    std::iter::successors(Some(process::id()), parent).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use nix::unistd::Uid;

    use super::*;
    use crate::{command, netns};

    /// Namespaces of a test, removed with it.
    struct Namespaces([String; 2]);

    impl Namespaces {
        fn new() -> Self {
            let all = Self(["a", "b"].map(|name| format!("xc-test{}-{name}", process::id())));
            for name in &all.0 {
                command::output(Command::new("ip").args(["netns", "add", name])).unwrap();
            }
            all
        }
    }

    impl Drop for Namespaces {
        fn drop(&mut self) {
            for name in &self.0 {
                let _ = Command::new("ip").args(["netns", "del", name]).status();
            }
        }
    }

    fn sleep(namespace: &str) -> Child {
        let mut command = Command::new("sleep");
        netns::enter(&mut command, namespace).unwrap();
        command.arg("600").spawn().unwrap()
    }

    #[test]
    fn only_strangers_in_the_labs_own_namespaces_are_ended() {
        if !Uid::effective().is_root() {
            assert!(std::env::var_os("CI").is_none(), "tests run as root in CI");
            return eprintln!("SKIPPED: making namespaces needs root");
        }
        let namespaces = Namespaces::new();
        let [lab, other] = &namespaces.0;
        let [mut stray, mut known, mut elsewhere] = [lab, lab, other].map(|name| sleep(name));
        let started = Process::new("load", known.id()).unwrap();
        end(&[lab, "xc-not-there"], &[started]).unwrap();
        let ended = |child: &mut Child| child.try_wait().unwrap().is_some();
        let outcome = [&mut stray, &mut known, &mut elsewhere].map(ended);
        for child in [&mut stray, &mut known, &mut elsewhere] {
            let _ = child.kill();
            child.wait().unwrap();
        }
        assert_eq!(outcome, [true, false, false]);
    }
}
