//! UDP: the head of each datagram, and what a receiver learns from it.

use std::time::Duration;

/// What a client sends first on a data socket, in its own byte order.
pub const HELLO: u32 = 0x3637_3839;
/// What the server answers.
pub const WELCOME: u32 = 0x3938_3736;
/// What servers before 3.13 answer.
pub const OLD_WELCOME: u32 = 987_654_321;

/// The head of a datagram: when it was sent, by the sender's clock, and its number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// By the sender's clock.
    pub sent: Duration,
    /// From 1.
    pub number: u64,
}

impl Head {
    /// Writes it over the first bytes of a datagram, which has at least 16.
    pub fn write(self, datagram: &mut [u8], wide: bool) {
        let seconds = u32::try_from(self.sent.as_secs() & 0xffff_ffff).unwrap_or(u32::MAX);
        datagram[..4].copy_from_slice(&seconds.to_be_bytes());
        datagram[4..8].copy_from_slice(&self.sent.subsec_micros().to_be_bytes());
        let number = self.number.to_be_bytes();
        if wide {
            datagram[8..16].copy_from_slice(&number);
        } else {
            datagram[8..12].copy_from_slice(&number[4..]);
        }
    }

    /// Reads it; nothing from a datagram that is too short.
    #[must_use]
    pub fn read(datagram: &[u8], wide: bool) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(*datagram.get(at..)?.first_chunk()?));
        let sent = Duration::from_secs(word(0)?.into()) + Duration::from_micros(word(4)?.into());
        let number = if wide {
            u64::from_be_bytes(*datagram.get(8..)?.first_chunk()?)
        } else {
            word(8)?.into()
        };
        Some(Self { sent, number })
    }
}

/// What a receiver has learned from the heads of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Arrivals {
    /// The highest number seen: what was sent, as far as is known.
    pub expected: u64,
    /// Numbers below that which have not come.
    pub lost: u64,
    /// Came after a higher number.
    pub out_of_order: u64,
    /// Smoothed difference of transit times, in seconds, as in RFC 1889.
    pub jitter: f64,
    last_transit: Option<f64>,
}

impl Arrivals {
    /// Takes note of a datagram that came at `now` by this end's clock.
    pub fn note(&mut self, head: Head, now: Duration) {
        if head.number > self.expected {
            self.lost += head.number - self.expected - 1;
            self.expected = head.number;
        } else {
            self.out_of_order += 1;
            self.lost = self.lost.saturating_sub(1);
        }
        let transit = now.as_secs_f64() - head.sent.as_secs_f64();
        let step = (transit - self.last_transit.unwrap_or(transit)).abs();
        self.jitter += (step - self.jitter) / 16.0;
        self.last_transit = Some(transit);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arrivals(numbers: &[u64]) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for &number in numbers {
            arrivals.note(Head { sent: Duration::ZERO, number }, Duration::ZERO);
        }
        arrivals
    }

    #[test]
    fn a_gap_is_a_loss() {
        let seen = arrivals(&[1, 2, 5]);
        assert_eq!((seen.expected, seen.lost, seen.out_of_order), (5, 2, 0));
    }

    #[test]
    fn what_comes_late_was_not_lost() {
        let seen = arrivals(&[1, 3, 2, 4]);
        assert_eq!((seen.expected, seen.lost, seen.out_of_order), (4, 0, 1));
    }

    #[test]
    fn jitter_is_a_sixteenth_of_the_first_change_in_transit_whatever_the_clocks_say() {
        let mut arrivals = Arrivals::default();
        let far = Duration::from_secs(9000);
        for (number, sent, came) in [(1, 0, 100), (2, 1000, 1260)] {
            let head = Head { sent: far + Duration::from_micros(sent), number };
            arrivals.note(head, Duration::from_micros(came));
        }
        assert!((arrivals.jitter - 160e-6 / 16.0).abs() < 1e-9, "{}", arrivals.jitter);
    }

    #[test]
    fn a_datagram_without_a_head_is_none() {
        assert_eq!(Head::read(&[0; 11], false), None);
        assert_eq!(Head::read(&[0; 15], true), None);
    }

    proptest! {
        #[test]
        fn heads_survive_the_wire(seconds: u32, micros in 0..1_000_000_u32, number: u32, wide: bool) {
            let sent = Duration::from_secs(seconds.into()) + Duration::from_micros(micros.into());
            let head = Head { sent, number: number.into() };
            let mut datagram = [0; 16];
            head.write(&mut datagram, wide);
            prop_assert_eq!(Head::read(&datagram, wide), Some(head));
        }

        #[test]
        fn any_order_of_all_numbers_is_no_loss(order in Just((1..50_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let seen = arrivals(&order);
            prop_assert_eq!((seen.expected, seen.lost), (49, 0));
        }

        #[test]
        fn hostile_heads_do_no_harm(heads: Vec<(u64, u32, u32)>) {
            let mut arrivals = Arrivals::default();
            for (number, sent, now) in heads {
                let head = Head { sent: Duration::from_secs(sent.into()), number };
                arrivals.note(head, Duration::from_secs(now.into()));
            }
            prop_assert!(arrivals.jitter.is_finite());
        }
    }
}
