//! Where connections come in: each says first whose it is. One thread reads all cookies, so that data connections keep the
//! order in which they came, and a silent one costs a place in a list.

use std::{
    io::{ErrorKind, Read as _},
    net::{TcpListener, TcpStream},
    os::fd::AsFd as _,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{
    super::{cookie::Cookie, protocol::Control, socket::plain},
    host::Host,
    session,
};

/// Time to send a cookie.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections without a cookie at once; beyond that the oldest goes.
const MOST: usize = 512;

/// A connection that has not said whose it is.
struct Caller {
    socket: TcpStream,
    since: Instant,
    said: Vec<u8>,
}

enum Said {
    More,
    Nothing,
    Cookie(Cookie),
}

impl Caller {
    /// Reads what has come of the cookie, and not a byte more.
    fn listen(&mut self) -> Said {
        let mut bytes = [0; Cookie::LEN];
        let missing = Cookie::LEN - self.said.len();
        match self.socket.read(&mut bytes[..missing]) {
            Ok(0) => return Said::Nothing,
            Ok(got) => self.said.extend(&bytes[..got]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Said::Nothing,
        }
        match <[u8; Cookie::LEN]>::try_from(self.said.as_slice()) {
            Ok(whole) => Cookie::received(whole).map_or(Said::Nothing, Said::Cookie),
            Err(_) => Said::More,
        }
    }
}

/// Lets connections in until `over`.
pub(super) fn serve(
    listener: &TcpListener,
    host: &Arc<Host>,
    over: &dyn Fn() -> bool,
) -> Result<()> {
    listener.set_nonblocking(true).context("preparing the port")?;
    let mut callers: Vec<Caller> = Vec::new();
    while !over() {
        wait(listener, &callers)?;
        accept(listener, &mut callers);
        // In the order in which they came: streams are numbered by it.
        let mut still = Vec::new();
        for mut caller in callers {
            match caller.listen() {
                Said::More if caller.since.elapsed() < PATIENCE => still.push(caller),
                Said::More | Said::Nothing => {}
                Said::Cookie(cookie) => admit(host, cookie, caller.socket),
            }
        }
        callers = still;
    }
    Ok(())
}

fn wait(listener: &TcpListener, callers: &[Caller]) -> Result<()> {
    let files = [listener.as_fd()].into_iter().chain(callers.iter().map(|c| c.socket.as_fd()));
    let mut files: Vec<_> = files.map(|file| PollFd::new(file, PollFlags::POLLIN)).collect();
    match poll(&mut files, PollTimeout::from(200_u8)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("waiting for connections"),
    }
}

fn accept(listener: &TcpListener, callers: &mut Vec<Caller>) {
    loop {
        match listener.accept() {
            Ok((socket, _)) if socket.set_nonblocking(true).is_ok() => {
                if callers.len() >= MOST {
                    callers.remove(0);
                }
                callers.push(Caller { socket, since: Instant::now(), said: Vec::new() });
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // Out of files, or gone before it was let in: others must not suffer, nor this thread spin.
            Err(_) => return thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn admit(host: &Arc<Host>, cookie: Cookie, socket: TcpStream) {
    if socket.set_nonblocking(false).is_err() {
        return;
    }
    let Err(socket) = host.deliver(&cookie, socket.into()) else {
        return;
    };
    let socket = TcpStream::from(socket);
    let client = plain(socket.peer_addr().ok()).to_string();
    let (Some(place), Ok(mut control)) = (host.session(), Control::new(socket, session::PATIENCE))
    else {
        return;
    };
    let shared = host.clone();
    let name = client.clone();
    let started = thread::Builder::new().name("session".into()).spawn(move || {
        if let Err(error) = session::serve(&shared, &mut control, cookie, &name) {
            shared.clerk.failed(&name, &error);
        }
        drop(place);
    });
    if let Err(error) = started {
        host.clerk.failed(&client, &anyhow::Error::from(error).context("starting a thread"));
    }
}
