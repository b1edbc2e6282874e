//! What the kernel knows about a TCP connection.

use std::os::fd::{AsFd, AsRawFd as _};

/// The part of `struct tcp_info` that reports show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Segments sent again since the connection began.
    pub retransmits: u32,
    /// Congestion window, in bytes.
    pub congestion_window: u64,
    /// The peer's window, in bytes; 0 before Linux 5.4.
    pub send_window: u32,
    /// Smoothed round trip, in microseconds.
    pub rtt_us: u32,
    /// Its variation, in microseconds.
    pub rtt_variation_us: u32,
    /// Path MTU, in bytes.
    pub path_mtu: u32,
}

impl TcpInfo {
    /// Asks the kernel; nothing where it does not tell.
    #[must_use]
    pub fn of(socket: impl AsFd) -> Option<Self> {
        let mut bytes = [0_u8; 256];
        let mut length = 256;
        // SAFETY: the kernel writes at most `length` bytes to the array, which has as many.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                bytes.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let length = usize::try_from(length).ok()?;
        (result == 0).then(|| Self::parse(bytes.get(..length)?)).flatten()
    }

    /// Reads `struct tcp_info`, of which kernels know more or less.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(Self {
            retransmits: word(100)?,
            congestion_window: u64::from(word(80)?) * u64::from(word(16)?),
            send_window: word(228).unwrap_or(0),
            rtt_us: word(68)?,
            rtt_variation_us: word(72)?,
            path_mtu: word(60)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_has_a_window_and_a_path() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let info = TcpInfo::of(&near).expect("Linux tells");
        assert!(info.congestion_window > 0 && info.path_mtu > 1000, "{info:?}");
        assert_eq!(info.retransmits, 0);
    }

    #[test]
    fn an_older_kernel_tells_less() {
        let mut bytes = [0; 232];
        bytes[16] = 10;
        bytes[80] = 4;
        bytes[228] = 7;
        let info = |length: usize| TcpInfo::parse(&bytes[..length]);
        assert_eq!(info(232).map(|info| (info.congestion_window, info.send_window)), Some((40, 7)));
        assert_eq!(info(104).map(|info| info.send_window), Some(0));
        assert_eq!(info(103), None);
    }
}
