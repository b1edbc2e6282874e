//! Traffic through the node.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::node::Node;

const CONNECTIONS: usize = 8;
/// A connection silent for so long is broken: the kernel would have sent again several times.
const BROKEN: Duration = Duration::from_secs(20);
const REQUEST: [u8; 100] = [b'x'; 100];

/// Requests and answers on lasting connections between pod and far host.
pub(crate) struct Requests {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Requests {
    pub(crate) fn start(node: &Node) -> Self {
        let listener = node.far.run(|| TcpListener::bind("100.64.0.2:8080").expect("listening"));
        thread::spawn(move || {
            for stream in listener.incoming().take(CONNECTIONS).flatten() {
                thread::spawn(move || echo(stream));
            }
        });
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let client = |_| {
            let stream =
                node.pod.run(|| TcpStream::connect("100.64.0.2:8080").expect("connecting"));
            let (stop, answered) = (stop.clone(), answered.clone());
            thread::spawn(move || ask(stream, &stop, &answered))
        };
        Self { clients: (0..CONNECTIONS).map(client).collect(), stop, answered }
    }

    /// Requests answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends it; fails when a connection broke.
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client").expect("a connection that lasts");
        }
    }
}

fn echo(mut stream: TcpStream) {
    let mut bytes = REQUEST;
    while stream.read_exact(&mut bytes).is_ok() && stream.write_all(&bytes).is_ok() {}
}

fn ask(mut stream: TcpStream, stop: &AtomicBool, answered: &AtomicU64) -> std::io::Result<()> {
    stream.set_read_timeout(Some(BROKEN))?;
    let mut bytes = REQUEST;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&bytes)?;
        stream.read_exact(&mut bytes)?;
        answered.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Datagrams from the node to its pod, until dropped.
pub(crate) struct Flood(Arc<AtomicBool>);

impl Flood {
    pub(crate) fn start(node: &Node, bytes: usize, every: Duration) -> Self {
        let socket = node.node.run(|| UdpSocket::bind("10.1.0.1:0").expect("a socket"));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // The pod answers that nobody listens, which is an error here.
                let _ = socket.send_to(&vec![0; bytes], "10.1.0.2:9");
                thread::sleep(every);
            }
        });
        Self(stop)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
