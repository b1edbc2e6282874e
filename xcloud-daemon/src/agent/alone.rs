//! One agent per network namespace: a second one would take the first one's filters for leftovers.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use anyhow::{Context as _, Result, bail};

/// An abstract name belongs to the network namespace and ends with its owner, however that ends.
const NAME: &str = "xcloud-agent";

/// Held as long as the agent runs.
#[derive(Debug)]
pub struct Alone(#[expect(dead_code, reason = "held for its name")] UnixDatagram);

impl Alone {
    /// Makes sure that no other agent runs in this network namespace, now and later.
    ///
    /// # Errors
    /// One does, or the name cannot be asked for.
    pub fn claim() -> Result<Self> {
        let address = SocketAddr::from_abstract_name(NAME).context("naming a socket")?;
        match UnixDatagram::bind_addr(&address) {
            Ok(socket) => Ok(Self(socket)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => bail!(
                "another xcloud agent runs in this network namespace (it holds the socket @{NAME}): stop it first"
            ),
            Err(error) => Err(error).with_context(|| format!("taking the socket name @{NAME}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_until_the_first_is_gone() {
        let first = Alone::claim().expect("nobody else runs an agent here");
        let refused = Alone::claim().expect_err("one runs");
        assert!(refused.to_string().contains("another xcloud agent"), "{refused}");
        drop(first);
        Alone::claim().expect("it is gone");
    }
}
