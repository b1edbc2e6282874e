//! STAMP's authenticated mode: HMAC-SHA-256, of which 128 bits are sent.

use std::path::Path;

use anyhow::{Context as _, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::usage::usage;

/// Bytes of an HMAC in a packet.
pub const HMAC: usize = 16;
/// Bytes at the beginning of a packet that it covers.
pub const COVERED: usize = 96;

/// A secret that both ends know.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// A key of any length above 0; `None` for none.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let key = Hmac::new_from_slice(bytes).ok()?;
        (!bytes.is_empty()).then_some(Self(key))
    }

    /// The key in a file: its bytes, without a newline at their end.
    ///
    /// # Errors
    /// The file cannot be read or is empty.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        Self::new(bytes).ok_or_else(|| usage(format!("--key-file: {} is empty", path.display())))
    }

    /// Signs a packet: the HMAC of its beginning is put behind that.
    pub(super) fn sign(&self, packet: &mut [u8]) {
        if let Some((covered, rest)) = packet.split_at_mut_checked(COVERED) {
            let mac = self.0.clone().chain_update(&*covered).finalize().into_bytes();
            if let Some(place) = rest.get_mut(..HMAC) {
                place.copy_from_slice(&mac[..HMAC]);
            }
        }
    }

    /// Whether a packet was signed with this key.
    #[must_use]
    pub(super) fn signed(&self, packet: &[u8]) -> bool {
        let Some((covered, rest)) = packet.split_at_checked(COVERED) else {
            return false;
        };
        let mac = self.0.clone().chain_update(covered);
        rest.get(..HMAC).is_some_and(|said| mac.verify_truncated_left(said).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_packet_or_another_key_is_noticed() {
        let key = Key::new(b"secret").expect("a key");
        let mut packet = [7; COVERED + HMAC];
        key.sign(&mut packet);
        assert!(key.signed(&packet));
        assert!(!Key::new(b"Secret").expect("a key").signed(&packet));
        for at in 0..packet.len() {
            let mut changed = packet;
            changed[at] ^= 1;
            assert!(!key.signed(&changed), "byte {at}");
        }
        assert!(!key.signed(&packet[..COVERED + HMAC - 1]));
        assert!(Key::new(b"").is_none());
    }
}
