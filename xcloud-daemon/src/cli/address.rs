//! Where an aggregator listens or is found.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// `IP:PORT`, `[http://|https://]HOST:PORT` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP, by address; TLS if this process was given certificates.
    Tcp(SocketAddr),
    /// TCP, by name or with a word on TLS.
    Host(Host),
    /// Unix socket.
    Unix(PathBuf),
}

/// A host by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// TLS or not, where that was said.
    pub secure: Option<bool>,
    /// A DNS name or an IP address without brackets.
    pub name: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// The port; 0 for a Unix socket.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Tcp(address) => address.port(),
            Self::Host(host) => host.port,
            Self::Unix(_) => 0,
        }
    }
}

impl Host {
    /// What was said on TLS, as it is typed.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self.secure {
            Some(true) => "https://",
            Some(false) => "http://",
            None => "",
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("unix: needs a path, as in unix:/run/xcloud/aggregator.sock".into())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let plain = text.strip_prefix("http://").map(|rest| (Some(false), rest));
        let tls = || text.strip_prefix("https://").map(|rest| (Some(true), rest));
        let (secure, rest) = plain.or_else(tls).unwrap_or((None, text));
        if let (None, Ok(address)) = (secure, rest.parse()) {
            return Ok(Self::Tcp(address));
        }
        let host = host(rest.strip_suffix('/').unwrap_or(rest));
        host.map(|(name, port)| Self::Host(Host { secure, name, port })).ok_or_else(|| {
            format!(
                "{text:?} is neither IP:PORT, as in 127.0.0.1:7171, nor [http://|https://]HOST:PORT, nor unix:PATH"
            )
        })
    }
}

/// `IP:PORT`; brackets are taken round an IPv4 address too, as whoever fills in a pod's address may not know its family.
///
/// # Errors
/// It is neither.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let bracketed = || {
        let (ip, port) = text.strip_prefix('[')?.split_once("]:")?;
        Some(SocketAddr::from((ip.parse::<Ipv4Addr>().ok()?, port.parse().ok()?)))
    };
    let wrong = || format!("{text:?} is not IP:PORT, as in 127.0.0.1:7173 or [::1]:7173");
    text.parse().ok().or_else(bracketed).ok_or_else(wrong)
}

/// A name or an address, and its port.
fn host(text: &str) -> Option<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip().to_string(), address.port()));
    }
    let (name, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    is_name(name).then(|| (name.to_ascii_lowercase(), port))
}

/// Whether DNS could hold it; addresses are parsed elsewhere, so digits and dots alone are a slip.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253
        && name.split('.').all(label)
        && name.bytes().any(|byte| byte.is_ascii_alphabetic())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Host(host) => write!(f, "{host}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())?;
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_may_stand_in_brackets_whatever_its_family() {
        for (text, is) in [
            ("192.0.2.1:7173", Some("192.0.2.1:7173")),
            ("[192.0.2.1]:7173", Some("192.0.2.1:7173")),
            ("[2001:db8::1]:7173", Some("[2001:db8::1]:7173")),
            ("2001:db8::1:7173", None),
            ("[]:7173", None),
            ("[192.0.2.1]", None),
            ("[localhost]:1", None),
        ] {
            assert_eq!(socket_address(text).ok(), is.map(|is| is.parse().expect(is)), "{text}");
        }
    }

    #[test]
    fn an_address_is_shown_as_it_is_typed() {
        for text in [
            "127.0.0.1:7171",
            "[::1]:7171",
            "unix:/run/a b.sock",
            "http://10.0.0.1:1",
            "https://[fd00::1]:7171",
            "https://aggregator.xcloud.svc:7171",
            "localhost:7171",
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "nowhere",
            ":7171",
            "unix:",
            "https://",
            "https://a",
            "a:70000",
            "a:b",
            "1.2.3:80",
            "user@host:80",
            "https://host:80/path",
            "ftp://host:80",
            "host name:80",
            "[::1:80",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_understood_reads_back(text in "\\PC{0,40}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
