//! Archives whose bytes follow from their content alone: no owner, no time but the one given. Pure.

use anyhow::{Context as _, Result, ensure};

const BLOCK: usize = 512;

/// A tar archive that is being written, in the ustar form.
pub(super) struct Tar {
    out: Vec<u8>,
    epoch: u64,
}

impl Tar {
    /// An empty archive whose members are of this time.
    pub(super) fn new(epoch: u64) -> Self {
        Self { out: vec![], epoch }
    }

    /// Adds a directory.
    pub(super) fn directory(&mut self, path: &str) -> Result<()> {
        self.member(path, 0o755, b'5', &[])
    }

    /// Adds a file.
    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        self.member(path, mode, b'0', bytes)
    }

    /// The archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.resize(self.out.len() + 2 * BLOCK, 0);
        self.out
    }

    fn member(&mut self, path: &str, mode: u32, kind: u8, bytes: &[u8]) -> Result<()> {
        ensure!(path.len() <= 100, "{path:?} is longer than a tar header holds");
        let mut header = [0; BLOCK];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, path.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, octal(bytes.len() as u64)?.as_bytes());
        put(136, octal(self.epoch)?.as_bytes());
        // The sum is taken with spaces in its own place.
        put(148, b"        ");
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.out.extend(header);
        self.out.extend(bytes);
        self.out.resize(self.out.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }
}

fn octal(number: u64) -> Result<String> {
    let text = format!("{number:011o}");
    (text.len() == 11).then_some(text).context("a number too large for a tar header")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::command;

    /// Members of an archive, by name.
    pub(in super::super) fn read(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut out = Vec::new();
        let mut rest = archive;
        while rest[0] != 0 {
            let text = |from: usize, to: usize| {
                let text = std::str::from_utf8(&rest[from..to]).expect("text");
                text.trim_end_matches('\0').to_owned()
            };
            let size = usize::from_str_radix(&text(124, 136), 8).expect("octal");
            out.push((text(0, 100), rest[BLOCK..BLOCK + size].to_vec()));
            rest = &rest[BLOCK + size.next_multiple_of(BLOCK)..];
        }
        out
    }

    #[test]
    fn another_tar_reads_the_archive() {
        let mut tar = Tar::new(86_400);
        tar.directory("usr/").expect("fits");
        tar.file("usr/one", 0o755, &[b'x'; 700]).expect("fits");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.tar");
        std::fs::write(&path, tar.finish()).expect("written");
        let mut other = std::process::Command::new("tar");
        other.args(["--list", "--verbose", "--utc", "--file"]).arg(&path);
        let listed = command::output(&mut other).expect("tar reads it");
        let fields: Vec<_> =
            listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(fields[0], ["drwxr-xr-x", "0/0", "0", "1970-01-02", "00:00", "usr/"]);
        assert_eq!(fields[1], ["-rwxr-xr-x", "0/0", "700", "1970-01-02", "00:00", "usr/one"]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut tar = Tar::new(0);
        assert!(tar.file(&"x".repeat(101), 0o644, b"").is_err());
        assert!(Tar::new(u64::MAX).file("a", 0o644, b"").is_err());
    }
}
