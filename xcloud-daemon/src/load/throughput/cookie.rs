//! What tells the connections of tests apart.

use std::{fmt, io::Read as _};

use anyhow::{Context as _, Result};

/// What tells a test's connections from those of others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cookie([u8; Cookie::LEN]);

impl Cookie {
    /// Bytes of a cookie: 36 characters and a zero.
    pub const LEN: usize = 37;
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

    /// One that nobody guesses.
    ///
    /// # Errors
    /// The kernel has no random numbers.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; Self::LEN];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut bytes[..Self::LEN - 1]))
            .context("reading /dev/urandom for a cookie")?;
        for byte in &mut bytes[..Self::LEN - 1] {
            *byte = Self::ALPHABET[usize::from(*byte % 32)];
        }
        Ok(Self(bytes))
    }

    /// The cookie in what somebody sent, if it is one.
    #[must_use]
    pub fn received(bytes: [u8; Self::LEN]) -> Option<Self> {
        let (last, text) = bytes.split_last()?;
        (*last == 0 && text.iter().all(u8::is_ascii_alphanumeric)).then_some(Self(bytes))
    }

    /// As it is sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0[..Self::LEN - 1]))
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_differ_and_are_recognised() {
        let [one, other] = [(); 2].map(|()| Cookie::random().expect("random"));
        assert_ne!(one, other);
        assert_eq!(Cookie::received(one.0), Some(one));
        assert_eq!(Cookie::received([b'a'; 37]), None);
        assert_eq!(Cookie::received([0; 37]), None);
    }
}
