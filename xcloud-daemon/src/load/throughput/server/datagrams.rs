//! Where UDP comes in: a first datagram from a new port gets a socket of its own, bound to the server's port.

use std::{mem::MaybeUninit, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use socket2::{Domain, Socket, Type};

use super::{
    super::{datagram::WELCOME, socket::plain},
    comes,
    host::Host,
};

/// Answers greetings for ever. What nobody waits for is dropped.
pub(super) fn serve(socket: &Socket, host: &Arc<Host>) {
    loop {
        if comes(socket, Duration::from_secs(10))
            && let Some(from) = sender(socket)
        {
            greet(host, from);
        }
    }
}

fn greet(host: &Arc<Host>, from: SocketAddr) {
    let Some((local, sender)) = host.greeter(from.ip()) else {
        return;
    };
    match connected(local, from) {
        Ok((socket, others)) => {
            if sender.send(socket).is_ok() {
                // They came between the new socket's binding and its connection.
                others.into_iter().filter(|other| *other != from).for_each(|o| greet(host, o));
            }
        }
        Err(error) => host.clerk.failed(&from.to_string(), &error),
    }
}

/// Answers a client that greets again on a socket of its own: the first answer was lost.
pub(super) fn greet_again(socket: &Socket) {
    if sender(socket).is_some() {
        // A client that misses this one, too, asks again.
        let _ = socket.send(&WELCOME.to_ne_bytes());
    }
}

fn sender(socket: &Socket) -> Option<SocketAddr> {
    let mut ignored = [MaybeUninit::uninit(); 4];
    let (_, from) = socket.recv_from_with_flags(&mut ignored, libc::MSG_DONTWAIT).ok()?;
    Some(plain(from.as_socket()))
}

fn connected(local: SocketAddr, from: SocketAddr) -> Result<(Socket, Vec<SocketAddr>)> {
    let open = || {
        let socket = Socket::new(Domain::for_address(from), Type::DGRAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&local.into())?;
        socket.connect(&from.into())?;
        Ok(socket)
    };
    let socket: Socket = open()
        .map_err(|error: std::io::Error| error)
        .with_context(|| format!("opening a datagram socket at {local} for {from}"))?;
    let others = std::iter::from_fn(|| sender(&socket)).take(64).collect();
    socket.send(&WELCOME.to_ne_bytes()).context("answering a greeting")?;
    Ok((socket, others))
}
