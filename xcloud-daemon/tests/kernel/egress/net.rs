//! Network namespaces with a path between them: a node whose uplink leads by a router to another one. The router's
//! far device is given no super-segment, so it counts the packets that the kernel cuts them into.

#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../../coexist/namespace.rs"]
mod namespace;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

pub(crate) use namespace::Namespace;
use nix::net::if_::if_nametoindex;
use xcloud_common::egress::Sums;

/// Index of an interface in a namespace.
pub(crate) fn index(namespace: &Namespace, interface: &str) -> u32 {
    namespace.run(|| if_nametoindex(interface).expect(interface))
}

/// What an interface says of what it was given to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    bytes: u64,
    packets: u64,
    lost: u64,
}

impl Sent {
    /// Bytes and packets since an earlier look; the interface must have dropped none since.
    pub(crate) fn since(self, before: Self) -> (u64, u64) {
        assert_eq!(self.lost, before.lost, "a device lost packets behind the count");
        (self.bytes - before.bytes, self.packets - before.packets)
    }
}

/// What an interface says it has sent so far.
pub(crate) fn sent(namespace: &Namespace, interface: &str) -> Sent {
    let shown = namespace.sh(&format!("ip -s -j link show dev {interface}"));
    let links: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let sent = &links[0]["stats64"]["tx"];
    let of = |name: &str| sent[name].as_u64().expect(name);
    Sent { bytes: of("bytes"), packets: of("packets"), lost: of("dropped") + of("errors") }
}

/// Pod, node, router and peer, one after the other.
pub(crate) struct Path {
    pub(crate) pod: Namespace,
    pub(crate) node: Namespace,
    pub(crate) router: Namespace,
    pub(crate) peer: Namespace,
}

/// Addresses in each network between two of them, and beyond.
pub(crate) fn address(ipv6: bool, network: u8, host: u8) -> String {
    if ipv6 { format!("fd00:{network}::{host}") } else { format!("10.9.{network}.{host}") }
}

impl Path {
    /// Pod `p` behind the node's `vp`; the node's uplink `wan` leads to the router's `in`, whose `out` leads to the peer's `eth`.
    pub(crate) fn new(ipv6: bool) -> Self {
        let new = Namespace::new;
        let path = Self { pod: new(), node: new(), router: new(), peer: new() };
        path.join((&path.pod, "p"), (&path.node, "vp"), 1, ipv6);
        path.join((&path.node, "wan"), (&path.router, "in"), 2, ipv6);
        path.join((&path.router, "out"), (&path.peer, "eth"), 3, ipv6);
        let via =
            |network, host| format!("ip route add default via {}", address(ipv6, network, host));
        path.pod.sh(&via(1, 2));
        path.node.sh(&via(2, 2));
        path.peer.sh(&via(3, 1));
        let back = if ipv6 { "fd00:1::/64" } else { "10.9.1.0/24" };
        path.router.sh(&format!("ip route add {back} via {}", address(ipv6, 2, 1)));
        for namespace in [&path.node, &path.router] {
            namespace.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        }
        path.router.sh("ip link set out gso_max_segs 1");
        path
    }

    /// A device pair with addresses 1 and 2 of a network, whose ends know one another, so that nobody asks on it.
    fn join(&self, one: (&Namespace, &str), two: (&Namespace, &str), network: u8, ipv6: bool) {
        let (names, elsewhere) = ((one.1, two.1), two.0.path());
        one.0.sh(&format!(
            "ip link add {} type veth peer name {} netns {elsewhere}",
            names.0, names.1
        ));
        for ((namespace, name), host) in [(one, 1), (two, 2)] {
            let (own, other) = (address(ipv6, network, host), address(ipv6, network, 3 - host));
            let (disabled, prefix) = if ipv6 { (0, "64 nodad") } else { (1, "24") };
            namespace.sh(&format!(
                "sysctl -qw net.ipv6.conf.{name}.disable_ipv6={disabled}
                 ip link set {name} address 02:00:00:00:{network:02}:{host:02}
                 ip link set {name} addrgenmode none up
                 ip addr add {own}/{prefix} dev {name}
                 ip neigh add {other} lladdr 02:00:00:00:{network:02}:{:02} dev {name} nud permanent",
                3 - host
            ));
        }
    }

    /// Waits until nobody sends on the way any more: IPv6 reports its multicast groups some time after an address comes.
    pub(crate) fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let count = || (sent(&self.node, "wan"), sent(&self.router, "out"));
        let (mut before, mut since) = (count(), Instant::now());
        while since.elapsed() < Duration::from_secs(3) {
            assert!(Instant::now() < deadline, "the path is never quiet");
            thread::sleep(Duration::from_millis(100));
            if count() != before {
                (before, since) = (count(), Instant::now());
            }
        }
    }
}

/// Sends `bytes` from one namespace to an address of another by TCP, and waits until all came.
pub(crate) fn tcp(from: &Namespace, to: &Namespace, address: &str, bytes: u64) {
    static PORT: AtomicU16 = AtomicU16::new(7000);
    let port = PORT.fetch_add(1, Ordering::Relaxed);
    let at = SocketAddr::new(address.parse().expect("an address"), port);
    let listener = to.run(|| TcpListener::bind(at).expect("listening"));
    let received = thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut room = vec![0; 1 << 18];
            let mut received = 0;
            loop {
                match stream.read(&mut room).expect("receiving") {
                    0 => return received,
                    count => received += count as u64,
                }
            }
        });
        let mut stream = from.run(|| TcpStream::connect(at).expect("connecting"));
        let chunk = vec![0x5a; 1 << 18];
        let mut left = bytes;
        while left > 0 {
            let now = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
            stream.write_all(&chunk[..now]).expect("sending");
            left -= now as u64;
        }
        drop(stream);
        receiver.join().expect("the receiver")
    });
    assert_eq!(received, bytes);
}

/// Sends datagrams of `size` bytes, `each` of them handed to the kernel as one buffer.
pub(crate) fn udp(from: &Namespace, address: &str, size: u16, each: usize, buffers: u32) {
    from.run(|| {
        let to = SocketAddr::new(address.parse().expect("an address"), 9);
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).expect("a socket");
        if each > 1 {
            let size = libc::c_int::from(size);
            // SAFETY: the option is a number that lives through the call.
            let result = unsafe {
                let value = (&raw const size).cast();
                libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, value, 4)
            };
            assert_eq!(result, 0, "asking for UDP segmentation");
        }
        // The last datagram is shorter.
        let payload = vec![0; usize::from(size) * each - 7];
        for at in 0..buffers {
            // A refusal told by the peer, which has no such port, ends nothing.
            let _ = socket.send_to(&payload, to);
            // Devices between namespaces keep a thousand packets, and what does not fit is lost behind the count.
            if at % 50 == 49 {
                thread::sleep(Duration::from_millis(2));
            }
        }
    });
}

/// Sums of several rows.
pub(crate) fn total<'a>(rows: impl IntoIterator<Item = &'a Sums>) -> Sums {
    rows.into_iter().fold(Sums::default(), |mut sum, row| {
        sum.add(*row);
        sum
    })
}
