//! Names of tests: the second of their creation, which sorts them, and chance, which tells them apart.

use std::{fs::File, io::Read as _, time::SystemTime};

use anyhow::{Context as _, Result};

/// Longest name.
const LONGEST: usize = 64;

/// A new name.
///
/// # Errors
/// The system has no random bytes.
pub fn new(now: SystemTime) -> Result<String> {
    let mut random = [0; 4];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .context("reading 4 bytes of /dev/urandom")?;
    let time = humantime::format_rfc3339_seconds(now).to_string();
    let time: String = time.chars().filter(|c| !"-:Z".contains(*c)).collect();
    Ok(format!("{}-{:08x}", time.replace('T', "-"), u32::from_be_bytes(random)))
}

/// Whether a text can be such a name, so that it is a safe name of a file.
#[must_use]
pub fn is_one(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_digit() || c.is_ascii_lowercase() || c == '-';
    !text.is_empty() && text.len() <= LONGEST && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_name_tells_its_time_and_no_two_are_alike() {
        let now = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let (one, other) = (new(now).expect("random"), new(now).expect("random"));
        assert!(one.starts_with("20260921-") && is_one(&one), "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn what_is_no_name_is_known() {
        for text in ["", "..", "a/b", "A", "a.json", "a\0", &"a".repeat(65)] {
            assert!(!is_one(text), "{text:?}");
        }
    }
}
