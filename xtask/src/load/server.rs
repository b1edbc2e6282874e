//! Answers requests, or swallows a stream.

use std::{
    io::{BufReader, Read as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{LoadKind, ServerArgs, message};

/// Connections served at once; further ones are closed.
const MOST: usize = 512;
const IDLE: Duration = Duration::from_secs(60);

/// Accepts until the process is ended.
pub(crate) fn run(args: &ServerArgs) -> Result<()> {
    let listener =
        TcpListener::bind(args.listen).with_context(|| format!("listening on {}", args.listen))?;
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if open.fetch_add(1, Ordering::Relaxed) >= MOST {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (kind, delay, open) = (args.kind, args.delay, Arc::clone(&open));
        thread::spawn(move || {
            super::sleep_exactly();
            // A client that goes away in the middle is nothing to report.
            let _ = serve(&stream, kind, delay);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    Ok(())
}

fn serve(stream: &TcpStream, kind: LoadKind, delay: Duration) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    if kind == LoadKind::Bulk {
        let mut buffer = vec![0; 256 << 10];
        while (&mut &*stream).read(&mut buffer)? > 0 {}
        return Ok(());
    }
    let mut reader = BufReader::new(stream);
    while message::read_request(kind, &mut reader)? {
        super::wait(delay);
        message::write_response(kind, &mut &*stream)?;
    }
    Ok(())
}
