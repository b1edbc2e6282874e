//! How much memory this process may take, by what the machine has and its control groups allow.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// What is taken for granted where nothing says.
const UNKNOWN: u64 = 2 << 30;

/// Where the kernel says it.
#[derive(Debug)]
struct Places {
    process: PathBuf,
    groups: PathBuf,
}

/// The machine's memory, or less if a control group allows less. Read once: later the files may be out of reach.
static ALLOWED: LazyLock<u64> = LazyLock::new(|| {
    let places = Places { process: "/proc".into(), groups: "/sys/fs/cgroup".into() };
    places.allowed().unwrap_or(UNKNOWN)
});

/// Bytes that this process may take.
#[must_use]
pub fn allowed() -> u64 {
    *ALLOWED
}

impl Places {
    fn allowed(&self) -> Option<u64> {
        let own = fs::read_to_string(self.process.join("self/cgroup")).unwrap_or_default();
        let groups = own.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let path = Path::new(path.trim_start_matches('/'));
            if controllers.is_empty() {
                lowest(&self.groups, path, "memory.max")
            } else if controllers.split(',').any(|one| one == "memory") {
                lowest(&self.groups.join("memory"), path, "memory.limit_in_bytes")
            } else {
                None
            }
        });
        groups.chain(self.machine()).min()
    }

    fn machine(&self) -> Option<u64> {
        let text = fs::read_to_string(self.process.join("meminfo")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1 << 10)
    }
}

/// The lowest limit of a group and those above it. In a container the group may have another path than the one it sees,
/// and then the topmost that it sees is its own.
fn lowest(top: &Path, group: &Path, file: &str) -> Option<u64> {
    let groups = group.ancestors();
    let limits = groups.filter_map(|group| fs::read_to_string(top.join(group).join(file)).ok());
    // Without a limit it says `max`.
    limits.filter_map(|text| text.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is allowed where these files say so.
    fn allowed(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, text).expect("written");
        }
        let (process, groups) = (root.path().join("proc"), root.path().join("groups"));
        Places { process, groups }.allowed()
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:        8000 kB\nMemFree: 1 kB\n");

    #[test]
    fn the_lowest_limit_counts() {
        assert_eq!(allowed(&[]), None);
        assert_eq!(allowed(&[MACHINE]), Some(8_192_000));
        let own = ("proc/self/cgroup", "0::/a/b\n");
        let limits =
            |a, b| [MACHINE, own, ("groups/a/memory.max", a), ("groups/a/b/memory.max", b)];
        assert_eq!(allowed(&limits("max\n", "max\n")), Some(8_192_000));
        assert_eq!(allowed(&limits("5000\n", "max\n")), Some(5_000), "the group above");
        assert_eq!(allowed(&limits("5000\n", "4000\n")), Some(4_000), "its own");
        assert_eq!(allowed(&limits("max\n", "99999999999\n")), Some(8_192_000), "the machine");
    }

    #[test]
    fn in_a_container_the_topmost_group_is_its_own() {
        let v2 = [MACHINE, ("proc/self/cgroup", "0::/\n"), ("groups/memory.max", "7000\n")];
        assert_eq!(allowed(&v2), Some(7_000));
        let own = "5:cpu,cpuacct:/kubepods/x\n4:memory:/kubepods/x\n0::/kubepods/x\n";
        let v1 =
            [MACHINE, ("proc/self/cgroup", own), ("groups/memory/memory.limit_in_bytes", "6000\n")];
        assert_eq!(allowed(&v1), Some(6_000));
    }
}
