//! Reads a file of networks again when it changes. One that is wrong then changes nothing.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, Result};

use super::Sites;

/// What tells one state of a file from another; through links, so that a mounted `ConfigMap` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

/// Who follows a file.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    read: Read,
    seen: Option<State>,
}

/// How a file is read.
pub type Read = fn(&Path) -> Result<Sites>;

impl Follower {
    /// Begins with what the file says now.
    ///
    /// # Errors
    /// It cannot be read, or is wrong.
    pub fn begin(path: &Path, read: Read) -> Result<(Self, Sites)> {
        let seen = state(path)?;
        let sites = read(path)?;
        Ok((Self { path: path.into(), read, seen: Some(seen) }, sites))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says, if it is another than before: told once, even if it is wrong or gone.
    pub fn look(&mut self) -> Option<Result<Sites>> {
        let now = state(&self.path);
        let seen = now.as_ref().ok().copied();
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        Some(now.and_then(|_| (self.read)(&self.path)))
    }
}

fn state(path: &Path) -> Result<State> {
    let about = fs::metadata(path)
        .with_context(|| format!("looking at networks and their sites in {}", path.display()))?;
    let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(State { modified, length: about.len(), inode: about.ino() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_told_once_and_a_wrong_one_by_its_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("sites.csv");
        let write = |text: &str| fs::write(&path, text).expect("writable");
        write("cidr,site\n10.0.0.0/8,aws/a\n");
        let (mut follower, sites) = Follower::begin(&path, Sites::read).expect("sound");
        assert_eq!(sites.entries().len(), 1);
        assert!(follower.look().is_none());
        write("cidr,site\n10.0.0.0/8,aws/a\n10.1.0.0,aws/b\n");
        let error = follower.look().expect("changed").expect_err("wrong");
        assert!(format!("{error:#}").contains("line 3"), "{error:#}");
        assert!(follower.look().is_none());
        fs::remove_file(&path).expect("there");
        assert!(follower.look().expect("changed").is_err());
        assert!(follower.look().is_none());
        write("cidr,site\n10.0.0.0/8,aws/b\n");
        assert!(follower.look().expect("changed").is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        assert!(Follower::begin(Path::new("/nowhere/sites.csv"), Sites::read).is_err());
    }
}
