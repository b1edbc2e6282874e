//! A socket of our own whose connections end at the aggregator in the cluster.

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, copy_bidirectional},
    net::{TcpListener, UnixListener},
};

use super::find::Cluster;

/// The socket.
enum Socket {
    /// In a directory that only this user can enter.
    Unix { listener: UnixListener, _folder: TempDir },
    /// On this machine's loopback, where TLS says who is who.
    Tcp(TcpListener),
}

/// A way to the aggregator.
pub(super) struct Forward {
    cluster: Cluster,
    socket: Socket,
    address: String,
    /// The first connection, made before anybody asks for it: that it can be is known by then.
    first: DuplexStream,
}

impl Forward {
    /// Opens the socket and a connection to the aggregator.
    pub(super) async fn open(cluster: &Cluster, tls: bool) -> Result<Self> {
        let first = cluster.connect().await?;
        let (socket, address) = if tls { loopback().await? } else { private()? };
        Ok(Self { cluster: cluster.clone(), socket, address, first })
    }

    /// Where it is found, as `--aggregator` takes it.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Forwards every connection, each to the pod that is the aggregator by then.
    pub(super) async fn serve(self) -> Result<()> {
        let mut first = Some(self.first);
        loop {
            let cluster = self.cluster.clone();
            let made = first.take();
            match &self.socket {
                Socket::Unix { listener, .. } => {
                    let (stream, _) = listener.accept().await.context("taking a connection")?;
                    tokio::spawn(carry(stream, cluster, made));
                }
                Socket::Tcp(listener) => {
                    let (stream, _) = listener.accept().await.context("taking a connection")?;
                    tokio::spawn(carry(stream, cluster, made));
                }
            }
        }
    }
}

fn private() -> Result<(Socket, String)> {
    let folder = tempfile::Builder::new().prefix("xcloud-").tempdir();
    let folder = folder.context("making a private folder")?;
    let path = folder.path().join("aggregator.sock");
    let listener = UnixListener::bind(&path);
    let listener = listener.with_context(|| format!("listening on {}", path.display()))?;
    Ok((Socket::Unix { listener, _folder: folder }, format!("unix:{}", path.display())))
}

async fn loopback() -> Result<(Socket, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
    let address = listener.local_addr().context("listening on loopback")?.to_string();
    Ok((Socket::Tcp(listener), address))
}

/// Carries one connection until either side ends it. If there is no way any more, it ends at once and the command says
/// that nobody answers.
async fn carry(
    mut here: impl AsyncRead + AsyncWrite + Unpin,
    cluster: Cluster,
    made: Option<DuplexStream>,
) {
    let there = match made {
        Some(there) => Ok(there),
        None => cluster.connect().await,
    };
    match there {
        Ok(mut there) => {
            if let Err(error) = copy_bidirectional(&mut here, &mut there).await {
                tracing::debug!("a forwarded connection ended: {error}");
            }
        }
        Err(error) => tracing::warn!("{error:#}"),
    }
}
