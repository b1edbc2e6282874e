//! The list of endpoints: one a line, `NAME CLOUD/REGION IP:PORT`.

use std::{
    collections::HashSet,
    fs::File,
    io::Read as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use sha2::{Digest as _, Sha256};

use crate::{escape::is_harmful, place::Place};

/// Most bytes of a list.
const MOST_BYTES: u64 = 4 << 20;
/// Most endpoints.
const MOST_PEERS: usize = 20_000;
/// Longest name.
const LONGEST_NAME: usize = 253;

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name, which no other has.
    pub name: String,
    /// Where it is, as cloud/region.
    pub site: String,
    /// Where it answers probes.
    pub address: SocketAddr,
    /// Its name as a number.
    key: u64,
}

impl Peer {
    /// An endpoint.
    ///
    /// # Errors
    /// It has no name that can be printed, no place, or no port.
    pub fn new(name: &str, site: &str, address: SocketAddr) -> Result<Self> {
        let printable = |c: char| !is_harmful(c) && !c.is_whitespace();
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(printable) {
            bail!("{name:?} is no name: 1 to {LONGEST_NAME} characters that can be printed");
        }
        let Place { cloud, region, .. } = site.parse().map_err(|why: String| anyhow!(why))?;
        if address.port() == 0 {
            bail!("{address} has port 0, where nobody answers");
        }
        let digest: [u8; 32] = Sha256::digest(name).into();
        let key = u64::from_be_bytes(*digest.first_chunk().unwrap_or(&[0; 8]));
        Ok(Self { name: name.into(), site: format!("{cloud}/{region}"), address, key })
    }

    /// Its name as a number, the same on every machine and in every version.
    #[must_use]
    pub const fn key(&self) -> u64 {
        self.key
    }
}

/// Says which of these endpoints is there twice, or one too many.
///
/// # Errors
/// One is.
pub fn check(all: &[Peer]) -> Result<()> {
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    for peer in all {
        if !names.insert(&peer.name) {
            bail!("{:?} is there twice", peer.name);
        }
        if !addresses.insert(peer.address) {
            bail!("{} is there twice, last as {:?}", peer.address, peer.name);
        }
    }
    if all.len() > MOST_PEERS {
        bail!("more than {MOST_PEERS} endpoints");
    }
    Ok(())
}

/// Endpoints of a text.
///
/// # Errors
/// A line is none, and the error says which and why; or one is there twice.
pub fn parse(text: &str) -> Result<Vec<Peer>> {
    let mut all = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            all.push(peer(line).with_context(|| format!("line {number}"))?);
        }
    }
    check(&all)?;
    Ok(all)
}

fn peer(line: &str) -> Result<Peer> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [name, site, address] = words[..] else {
        bail!(
            "an endpoint is `NAME CLOUD/REGION IP:PORT`, as in `node-1 aws/us-east-1 192.0.2.1:862`"
        );
    };
    let address = address.parse().with_context(|| format!("{address:?} is no IP:PORT"))?;
    Peer::new(name, site, address)
}

/// A list in a file that may change.
#[derive(Debug)]
pub struct Listed {
    path: PathBuf,
    text: String,
}

impl Listed {
    /// Reads a list for the first time.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> Result<(Self, Vec<Peer>)> {
        let mut new = Self { path: path.into(), text: String::new() };
        let peers = new.again()?.unwrap_or_default();
        Ok((new, peers))
    }

    /// The list if it is another one than the last time.
    ///
    /// # Errors
    /// It cannot be read, or is none. The same text is no error again.
    pub fn again(&mut self) -> Result<Option<Vec<Peer>>> {
        let path = self.path.display();
        let mut text = String::new();
        let file = File::open(&self.path).with_context(|| format!("opening {path}"))?;
        file.take(MOST_BYTES + 1)
            .read_to_string(&mut text)
            .with_context(|| format!("reading {path}"))?;
        if text.len() as u64 > MOST_BYTES {
            bail!("{path} is longer than {MOST_BYTES} bytes");
        }
        if text == self.text && !text.is_empty() {
            return Ok(None);
        }
        self.text = text;
        parse(&self.text).map(Some).with_context(|| format!("{path} is no list of endpoints"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_an_endpoint() {
        let text = "# all of them\n\nnode-1 aws/us-east-1 192.0.2.1:862\n b\tgcp/us-central1/a [::1]:863 # last\n";
        let all = parse(text).expect("a list");
        let [one, other] = &all[..] else { panic!("{all:?}") };
        assert_eq!((one.name.as_str(), one.site.as_str()), ("node-1", "aws/us-east-1"));
        assert_eq!((other.site.as_str(), other.address.port()), ("gcp/us-central1", 863));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for wrong in [
            "a aws/x",
            "a aws 192.0.2.1:1",
            "a aws/x 192.0.2.1",
            "a aws/x host:1",
            "a aws/x 192.0.2.1:0",
            "a aws/x 192.0.2.1:1 more",
            "a\u{7} aws/x 192.0.2.1:1",
        ] {
            let text = format!("z gcp/x 192.0.2.8:1\n{wrong}");
            let error = format!("{:#}", parse(&text).expect_err(wrong));
            assert!(error.starts_with("line 2"), "{wrong}: {error}");
        }
        for twice in ["z aws/x 192.0.2.9:1", "a aws/x 192.0.2.8:1"] {
            let error = parse(&format!("z gcp/x 192.0.2.8:1\n{twice}")).expect_err(twice);
            assert!(error.to_string().contains("is there twice"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_does_no_harm(text in any::<String>()) {
            let _ = parse(&text);
        }
    }

    #[test]
    fn a_file_is_read_again_when_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("peers");
        std::fs::write(&path, "a aws/x 192.0.2.1:1").expect("writable");
        let (mut listed, first) = Listed::read(&path).expect("a list");
        assert_eq!(first.len(), 1);
        assert_eq!(listed.again().expect("unchanged"), None);
        std::fs::write(&path, "wrong").expect("writable");
        assert!(listed.again().is_err());
        assert_eq!(listed.again().expect("told before"), None);
        std::fs::write(&path, "a aws/x 192.0.2.1:1\nb aws/x 192.0.2.2:1").expect("writable");
        assert_eq!(listed.again().expect("a list").map(|all| all.len()), Some(2));
    }
}
