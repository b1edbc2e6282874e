//! Kernel versions as far as they matter here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// Kernels that are tried, as people name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Series {
    /// A long-term series.
    Lts(Version),
    /// The newest that is packaged.
    Newest,
}

impl Series {
    /// All that are tried unless told otherwise.
    pub(crate) const ALL: [Self; 4] = [
        Self::Lts(Version(5, 10)),
        Self::Lts(Version(6, 1)),
        Self::Lts(Version(6, 12)),
        Self::Newest,
    ];

    /// Whether a package of this version is of this series.
    pub(super) fn has(self, version: &str) -> bool {
        match (self, version.parse::<Version>()) {
            (Self::Lts(series), Ok(version)) => series == version,
            (Self::Newest, parsed) => parsed.is_ok(),
            (Self::Lts(_), Err(_)) => false,
        }
    }

    /// Debian's suites that have it.
    pub(super) fn suites(self) -> &'static [&'static str] {
        match self {
            Self::Lts(Version(5, _)) => &["bullseye", "bullseye-security"],
            Self::Lts(Version(6, 1)) => &["bookworm", "bookworm-security"],
            Self::Lts(_) => &["trixie", "trixie-security"],
            Self::Newest => &["trixie-backports", "sid"],
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lts(version) => version.fmt(f),
            Self::Newest => f.write_str("7.x"),
        }
    }
}

impl FromStr for Series {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|series| series.to_string() == text);
        named.ok_or_else(|| {
            let all = Self::ALL.map(|series| series.to_string());
            format!("no kernel {text:?}: {}", all.join(", "))
        })
    }
}

/// A version's first two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32);

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self(major, minor)),
            _ => Err(format!("{text:?} is not a kernel version, as in 6.12")),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        let of = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(of("6.12.118+deb13-cloud-amd64").cmp(&of("6.6")), Ordering::Greater);
        assert_eq!(of("5.10.0-46"), Version(5, 10));
        assert!("trixie".parse::<Version>().is_err());
    }

    #[test]
    fn a_series_knows_its_packages() {
        let series: Series = "6.1".parse().unwrap();
        assert!(series.has("6.1.192-2") && !series.has("6.12.118-1"));
        assert!(Series::Newest.has("7.3.4-1~bpo13+1"));
    }
}
