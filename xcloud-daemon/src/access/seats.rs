//! How many connections there are, and from whom: one address cannot take the place of all others. Pure; time is told.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use super::bucket::{Bucket, Rate};

/// Peers remembered before those that left long ago are forgotten.
const REMEMBERED: usize = 4_096;

/// Most connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub all: usize,
    /// From one peer.
    pub per_peer: usize,
    /// That have not said yet what they want, in all.
    pub opening: usize,
    /// The same, from one peer.
    pub opening_per_peer: usize,
    /// New ones from one peer.
    pub rate: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            all: 12_000,
            per_peer: 4_000,
            opening: 256,
            opening_per_peer: 64,
            rate: Rate { per_second: 200.0, burst: 2_000.0 },
        }
    }
}

/// Whose connections are counted together: an address, or the network that one IPv6 host has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Party(IpAddr);

impl Party {
    /// Of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{v4}"),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// There are too many of everybody's.
    All,
    /// There are too many of this peer's.
    Peer,
    /// Too many have not said yet what they want.
    Opening,
    /// This peer comes too often.
    Rate,
}

impl Full {
    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::All => "there are too many connections (--max-connections)",
            Self::Peer => "it has too many connections (--max-connections-per-peer)",
            Self::Opening => "too many connections have not said yet what they want",
            Self::Rate => "it connects too often",
        }
    }
}

#[derive(Debug)]
struct Guest {
    open: usize,
    opening: usize,
    bucket: Bucket,
}

/// Connections there are.
#[derive(Debug)]
pub struct Seats {
    limits: Limits,
    guests: HashMap<Party, Guest>,
    open: usize,
    opening: usize,
}

impl Seats {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, guests: HashMap::new(), open: 0, opening: 0 }
    }

    /// Takes a seat for a connection that is opening.
    ///
    /// # Errors
    /// There is none for it.
    pub fn take(&mut self, party: Party, now: Duration) -> Result<(), Full> {
        let limits = self.limits;
        if self.open >= limits.all {
            return Err(Full::All);
        }
        if self.opening >= limits.opening {
            return Err(Full::Opening);
        }
        self.forget(now);
        let bucket = Bucket::new(limits.rate, now);
        let guest = self.guests.entry(party).or_insert(Guest { open: 0, opening: 0, bucket });
        if guest.open >= limits.per_peer {
            return Err(Full::Peer);
        }
        if guest.opening >= limits.opening_per_peer {
            return Err(Full::Opening);
        }
        if !guest.bucket.take(limits.rate, now) {
            return Err(Full::Rate);
        }
        guest.open += 1;
        guest.opening += 1;
        self.open += 1;
        self.opening += 1;
        Ok(())
    }

    /// A connection has said what it wants.
    pub fn settle(&mut self, party: Party) {
        if let Some(guest) = self.guests.get_mut(&party) {
            guest.opening = guest.opening.saturating_sub(1);
            self.opening = self.opening.saturating_sub(1);
        }
    }

    /// A connection is gone.
    pub fn leave(&mut self, party: Party, settled: bool) {
        if !settled {
            self.settle(party);
        }
        if let Some(guest) = self.guests.get_mut(&party) {
            guest.open = guest.open.saturating_sub(1);
            self.open = self.open.saturating_sub(1);
        }
    }

    /// Connections there are.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// Forgets peers that have been away for long enough.
    fn forget(&mut self, now: Duration) {
        if self.guests.len() >= REMEMBERED {
            let rate = self.limits.rate;
            self.guests.retain(|_, guest| guest.open > 0 || !guest.bucket.is_full(rate, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        all: 8,
        per_peer: 4,
        opening: 4,
        opening_per_peer: 2,
        rate: Rate { per_second: 10.0, burst: 6.0 },
    };

    fn party(last: u8) -> Party {
        Party::of([10, 0, 0, last].into())
    }

    #[test]
    fn one_peer_cannot_take_the_place_of_another() {
        let mut seats = Seats::new(LIMITS);
        let mut take = |last| seats.take(party(last), Duration::ZERO);
        assert_eq!((take(1), take(1), take(1)), (Ok(()), Ok(()), Err(Full::Opening)));
        assert_eq!(take(2), Ok(()));
    }

    #[test]
    fn a_peer_that_comes_and_goes_all_the_time_is_held_back() {
        let mut seats = Seats::new(LIMITS);
        let mut come = |at_ms| {
            let taken = seats.take(party(1), Duration::from_millis(at_ms));
            if taken.is_ok() {
                seats.leave(party(1), false);
            }
            taken
        };
        assert!((0..6).all(|_| come(0).is_ok()));
        assert_eq!((come(0), come(100), come(100)), (Err(Full::Rate), Ok(()), Err(Full::Rate)));
    }

    #[test]
    fn addresses_of_one_ipv6_host_count_together_and_mapped_ones_as_ipv4() {
        let of = |text: &str| Party::of(text.parse().expect(text));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), party(1));
    }

    #[test]
    fn whoever_left_is_forgotten_in_time() {
        let mut seats = Seats::new(Limits { rate: Rate { per_second: 1e6, burst: 2.0 }, ..LIMITS });
        for host in 0..u32::try_from(3 * REMEMBERED).expect("few") {
            let party = Party::of(IpAddr::V4(host.into()));
            assert_eq!(seats.take(party, Duration::from_millis(host.into())), Ok(()));
            seats.leave(party, false);
        }
        assert!(seats.guests.len() <= REMEMBERED);
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_there_is(steps in prop::collection::vec((0u8..4, 0u8..3), 0..200)) {
            let mut seats = Seats::new(LIMITS);
            let mut there: Vec<(u8, bool)> = Vec::new();
            for (at, (last, what)) in steps.into_iter().enumerate() {
                match what {
                    0 => if seats.take(party(last), Duration::from_secs(at as u64)).is_ok() {
                        there.push((last, false));
                    },
                    1 => if let Some(one) = there.iter_mut().find(|one| !one.1) {
                        one.1 = true;
                        seats.settle(party(one.0));
                    },
                    _ => if let Some((last, settled)) = there.pop() {
                        seats.leave(party(last), settled);
                    },
                }
                prop_assert_eq!(seats.open, there.len());
                prop_assert_eq!(seats.opening, there.iter().filter(|one| !one.1).count());
                prop_assert!(seats.open <= LIMITS.all && seats.opening <= LIMITS.opening);
            }
        }
    }
}
