//! `xcloud load stamp --reflect`: a reflector on a socket.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    auth::Key,
    clock::{self, Clock, monotonic_ns},
    packet,
    reflector::{Arrival, Limits, Reflector},
    socket::{self, Received, Receiver},
    timestamp::{ErrorEstimate, Format},
};
use crate::load::{interrupt, rate::timer::nanoseconds};

/// How often the end is looked for.
const PATIENCE: Duration = Duration::from_millis(200);
/// How often the kernel is asked how good the wall clock is.
const ERROR_AGE_NS: u64 = 10_000_000_000;

/// Answers until interrupted or for a time.
///
/// # Errors
/// It cannot listen.
pub fn run(
    address: SocketAddr,
    key: Option<Key>,
    limits: &Limits,
    clock: Clock,
    duration: Option<Duration>,
    listening: impl FnOnce(SocketAddr) -> Result<()>,
) -> Result<()> {
    let socket = socket::open(address)?;
    socket.set_read_timeout(Some(PATIENCE)).context("setting a timeout")?;
    interrupt::catch()?;
    let address = socket.local_addr().context("asking for the port")?;
    tracing::info!("reflecting STAMP on UDP {address}");
    listening(address)?;
    let mut reflector = Reflector::new(key, limits, monotonic_ns());
    let end = duration.map(|duration| clock.start_ns().saturating_add(nanoseconds(duration)));
    serve(&socket, &mut reflector, clock, end);
    tracing::info!("{}", reflector.counts());
    Ok(())
}

/// Answers until interrupted, or until a time of the monotonic clock.
pub(in crate::load) fn serve(
    socket: &UdpSocket,
    reflector: &mut Reflector,
    clock: Clock,
    end: Option<u64>,
) {
    let mut bytes = vec![0; packet::LARGEST];
    let mut receiver = Receiver::new();
    let mut error = (clock::error_estimate(Format::Ntp), monotonic_ns());
    while !interrupt::stopped() && end.is_none_or(|end| monotonic_ns() < end) {
        match receiver.receive(socket, &mut bytes) {
            Ok(received) => {
                if received.monotonic_ns.saturating_sub(error.1) > ERROR_AGE_NS {
                    error = (clock::error_estimate(Format::Ntp), received.monotonic_ns);
                }
                answer(socket, reflector, clock, error.0, received, &mut bytes);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => tracing::debug!("receiving: {error}"),
        }
    }
}

fn answer(
    socket: &UdpSocket,
    reflector: &mut Reflector,
    clock: Clock,
    error: ErrorEstimate,
    received: Received,
    bytes: &mut [u8],
) {
    let (Some(from), Some(bytes)) = (received.from, bytes.get_mut(..received.length)) else {
        return;
    };
    let arrival = Arrival {
        unix_ns: clock.unix_ns(received.monotonic_ns),
        monotonic_ns: received.monotonic_ns,
        ttl: received.ttl,
    };
    if reflector.answer(bytes, from, arrival, || (clock.unix_ns(monotonic_ns()), error))
        && let Err(error) = socket.send_to(bytes, from)
    {
        tracing::debug!("answering {from}: {error}");
    }
}
