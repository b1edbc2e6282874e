//! Control groups of a cluster's pods, one group for each node, in every hierarchy there is. They are all that outlives
//! its processes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::plan::{NODES, Node};

const ROOT: &str = "/sys/fs/cgroup";
const GROUP: &str = "xcloud-cluster";
/// How long processes that were killed may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// The group of a node's pods.
pub(super) fn of(node: Node) -> String {
    format!("/{GROUP}/{}", node.cloud)
}

/// Makes them.
pub(super) fn make() -> Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(GROUP);
        add(&hierarchy, &group)?;
        for node in NODES {
            add(&group, &group.join(node.cloud))?;
        }
    }
    Ok(())
}

/// Every hierarchy: the unified one, or those of version 1.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.into()]);
    }
    let entries = fs::read_dir(root).with_context(|| format!("listing {ROOT}"))?;
    let directories = entries.filter_map(Result::ok).map(|entry| entry.path());
    Ok(directories.filter(|path| path.join("cgroup.procs").exists()).collect())
}

fn add(parent: &Path, group: &Path) -> Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("creating {}", group.display()));
        }
        _ => {}
    }
    // A set of processors that is empty takes no process.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(all) = fs::read(parent.join(file)) {
            let path = group.join(file);
            fs::write(&path, all).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

/// Removes them, once their processes are gone.
pub(super) fn remove() -> Result<()> {
    let deadline = Instant::now() + GONE;
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(GROUP);
        while let Err(error) = remove_below(&group) {
            if Instant::now() > deadline {
                bail!("removing {}: {error}", group.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn remove_below(group: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_below(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
