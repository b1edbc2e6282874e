//! Where the list of endpoints comes from, and its changes.

use std::{
    net::SocketAddr,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::runtime::{Builder, Runtime};
use xcloud_proto::loadtest::v1::{ListEndpointsRequest, LoadEndpoint};

use super::peers::{self, Listed, Peer};
use crate::{
    cli::{Address, matrix::MatrixArgs},
    usage::usage,
    wire::{answer, connect},
};

/// How often a file is looked at.
const FILE_AGE: Duration = Duration::from_secs(2);
/// How often an aggregator is asked.
const ANSWER_AGE: Duration = Duration::from_secs(10);

/// Where the list comes from.
#[derive(Debug)]
pub enum Source {
    /// A file.
    File(Listed),
    /// The endpoints of an aggregator's load tests.
    Aggregator(Asked),
}

/// An aggregator that is asked again and again.
#[derive(Debug)]
pub struct Asked {
    address: Address,
    me: String,
    /// All answer at this one's port.
    port: u16,
    runtime: Runtime,
    last: Vec<Peer>,
}

impl Source {
    /// The source that flags name, and its list.
    ///
    /// # Errors
    /// There is none, or its list is none.
    pub fn open(args: &MatrixArgs) -> Result<(Self, Vec<Peer>)> {
        match (&args.peers, &args.aggregator) {
            (Some(path), _) => {
                let (listed, peers) = Listed::read(path)?;
                Ok((Self::File(listed), peers))
            }
            (None, Some(address)) => {
                let runtime = Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .context("starting the asynchronous runtime")?;
                let (address, me, port) = (address.clone(), args.me.clone(), args.listen.port());
                let mut asked = Asked { address, me, port, runtime, last: Vec::new() };
                let peers = asked.again()?.unwrap_or_default();
                Ok((Self::Aggregator(asked), peers))
            }
            (None, None) => Err(usage("either --peers or --aggregator is needed")),
        }
    }

    /// Follows the list in a thread of its own: each new one comes out here.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn follow(mut self) -> Result<Receiver<Vec<Peer>>> {
        let (send, receive) = channel();
        let body = move || {
            loop {
                thread::sleep(self.age());
                match self.again() {
                    Ok(None) => {}
                    Ok(Some(peers)) => {
                        if send.send(peers).is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::warn!("the list of endpoints stays as it was: {error:#}")
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("matrix-list".into());
        thread.spawn(body).context("starting a thread")?;
        Ok(receive)
    }

    const fn age(&self) -> Duration {
        match self {
            Self::File(_) => FILE_AGE,
            Self::Aggregator(_) => ANSWER_AGE,
        }
    }

    fn again(&mut self) -> Result<Option<Vec<Peer>>> {
        match self {
            Self::File(listed) => listed.again(),
            Self::Aggregator(asked) => asked.again(),
        }
    }
}

impl Asked {
    fn again(&mut self) -> Result<Option<Vec<Peer>>> {
        let endpoints = self.runtime.block_on(ask(&self.address))?;
        let peers = understand(&endpoints, &self.me, self.port)?;
        if peers == self.last {
            return Ok(None);
        }
        self.last.clone_from(&peers);
        Ok(Some(peers))
    }
}

async fn ask(address: &Address) -> Result<Vec<LoadEndpoint>> {
    let mut client = connect::load_tests(address).await?;
    let answer = client.list_endpoints(ListEndpointsRequest {}).await;
    Ok(connect::answered(answer, address)?.into_inner().endpoints)
}

/// The endpoints in the same network as `me`, in the order of their names.
fn understand(endpoints: &[LoadEndpoint], me: &str, port: u16) -> Result<Vec<Peer>> {
    let Some(own) = endpoints.iter().find(|endpoint| endpoint.name == me) else {
        bail!("{me:?} is none of the aggregator's {} endpoints", endpoints.len());
    };
    let peer = |endpoint: &LoadEndpoint| {
        let LoadEndpoint { name, site, address, .. } = endpoint;
        let site = site.clone().unwrap_or_default();
        let address = answer::address(address)
            .with_context(|| format!("endpoint {name:?} has no address"))?;
        let site = format!("{}/{}", site.cloud, site.region);
        Peer::new(name, &site, SocketAddr::new(address, port))
    };
    let near = endpoints.iter().filter(|endpoint| endpoint.network == own.network);
    let mut peers = near.map(peer).collect::<Result<Vec<_>>>()?;
    peers.sort_by(|one, other| one.name.cmp(&other.name));
    peers::check(&peers)?;
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use xcloud_proto::{common::v1::Site, loadtest::v1::Network};

    use super::*;

    fn endpoint(name: &str, address: &[u8], network: Network) -> LoadEndpoint {
        let site = Site { cloud: "aws".into(), region: "us-east-1".into(), ..Site::default() };
        LoadEndpoint {
            name: name.into(),
            site: Some(site),
            network: network.into(),
            address: address.into(),
            ..LoadEndpoint::default()
        }
    }

    #[test]
    fn endpoints_of_ones_own_network_are_peers() {
        let all = [
            endpoint("b", &[192, 0, 2, 2], Network::Pod),
            endpoint("a", &[192, 0, 2, 1], Network::Pod),
            endpoint("h", &[192, 0, 2, 3], Network::Host),
        ];
        let peers = understand(&all, "b", 862).expect("a list");
        let lines: Vec<_> = peers
            .iter()
            .map(|peer| format!("{} {} {}", peer.name, peer.site, peer.address))
            .collect();
        assert_eq!(lines, ["a aws/us-east-1 192.0.2.1:862", "b aws/us-east-1 192.0.2.2:862"]);
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let own = endpoint("a", &[192, 0, 2, 1], Network::Pod);
        let error = |other: LoadEndpoint, me| {
            understand(&[own.clone(), other], me, 862).expect_err("refused").to_string()
        };
        let fine = || endpoint("b", &[192, 0, 2, 2], Network::Pod);
        assert!(error(fine(), "c").contains("\"c\" is none of the aggregator's 2 endpoints"));
        assert!(error(LoadEndpoint { address: vec![1], ..fine() }, "a").contains("no address"));
        assert!(error(LoadEndpoint { site: None, ..fine() }, "a").contains("no place"));
        assert!(error(endpoint("b\n", &[192, 0, 2, 2], Network::Pod), "a").contains("no name"));
        assert!(error(endpoint("a", &[192, 0, 2, 2], Network::Pod), "a").contains("twice"));
    }
}
