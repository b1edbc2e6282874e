//! Where connections come in: a seat first, then a handshake, both within bounds; none of it holds up who comes next.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener},
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::{
    connection::{Carrier, Connection},
    entrance::{Entrance, Seat},
    peer::Origin,
    seats::Party,
};

/// How long a connection may take to say what it wants, its handshake included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections let in that nobody serves yet.
const WAITING: usize = 64;
/// Pause after the system could not give a connection, which is mostly for want of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Connections that were let in, in the order in which their handshakes end.
pub type Guests = ReceiverStream<io::Result<Connection>>;
type Arriving = mpsc::Sender<io::Result<Connection>>;

/// A bound address.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// Unix socket: whoever can open it is let in.
    Unix(UnixListener),
}

/// Lets connections in until `stop`.
#[must_use]
pub fn open(listener: Listener, entrance: Arc<Entrance>, stop: CancellationToken) -> Guests {
    let (guests, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        tokio::select! {
            () = let_in(&listener, &entrance, &guests) => {}
            () = stop.cancelled() => {}
        }
    });
    ReceiverStream::new(receiver)
}

/// Lets connections in until nobody serves any more.
async fn let_in(listener: &Listener, entrance: &Arc<Entrance>, guests: &Arriving) {
    while !guests.is_closed() {
        let accepted = match listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(admit(Arc::clone(entrance), stream, guests.clone()));
            }),
            Listener::Unix(listener) => match listener.accept().await {
                Ok((stream, _)) => {
                    let late = Instant::now() + PATIENCE;
                    let carrier = Carrier::Unix(stream);
                    let one = Connection::new(carrier, Origin::Unix, None, late, entrance);
                    // Nobody serves any more: then it is closed.
                    let _ = guests.send(Ok(one)).await;
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = accepted {
            entrance.refuse("connections", &error.to_string());
            sleep(BREATH).await;
        }
    }
}

/// Lets one in, or not, once it has shown who it is.
async fn admit(entrance: Arc<Entrance>, stream: TcpStream, guests: Arriving) {
    if let Some(connection) = shake(&entrance, stream).await {
        // Nobody serves any more: then it is closed.
        let _ = guests.send(Ok(connection)).await;
    }
}

async fn shake(entrance: &Arc<Entrance>, stream: TcpStream) -> Option<Connection> {
    let late = Instant::now() + PATIENCE;
    let address = stream.peer_addr().ok()?;
    let party = Party::of(address.ip());
    let seat = match Seat::take(entrance, party) {
        Ok(seat) => seat,
        Err(full) => {
            entrance.refuse(&party.to_string(), full.text());
            return None;
        }
    };
    // Slower without, that is all.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &entrance.tls else {
        let (carrier, origin) = (Carrier::Tcp(stream), Origin::Plain(address));
        return Some(Connection::new(carrier, origin, Some(seat), late, entrance));
    };
    let serving = tls.current();
    let accepting = TlsAcceptor::from(Arc::clone(&serving.config)).accept(stream);
    let shaken = match timeout_at(late, accepting).await {
        Ok(shaken) => shaken.map_err(|error| error.to_string()),
        Err(_) => Err(format!("its handshake took longer than {PATIENCE:?}")),
    };
    let admitted = shaken.and_then(|stream| {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let shown = serving.shown(chain, &entrance.grants).map_err(|error| format!("{error:#}"))?;
        let origin = Origin::Tls(address, shown);
        Ok(Connection::new(Carrier::Tls(Box::new(stream)), origin, Some(seat), late, entrance))
    });
    admitted.map_err(|why| entrance.refuse(&party.to_string(), &why)).ok()
}
