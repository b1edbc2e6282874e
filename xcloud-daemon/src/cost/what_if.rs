//! What another way, fewer packets, compression or encapsulation would change about a bill.

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::volume::MOST_BYTES;

/// Bytes of IPv4 and TCP headers with timestamps.
pub const HEADER_BYTES: u32 = 52;

/// Bytes of a full packet where nobody says how many packets there are.
pub const FULL_PACKET: u64 = 1500;

/// What is on the wire in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Bytes, headers included.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes of headers in each.
    pub header_bytes: u32,
}

impl Traffic {
    /// So many bytes in full packets, unless their number is known.
    #[must_use]
    pub fn new(bytes: u64, packets: Option<u64>, header_bytes: u32) -> Self {
        let packets = packets.unwrap_or_else(|| bytes.div_ceil(FULL_PACKET));
        Self { bytes, packets, header_bytes }
    }

    /// What cannot be right about it.
    #[must_use]
    pub fn doubts(&self, payload: Option<u64>) -> Vec<String> {
        let Self { bytes, packets, header_bytes } = *self;
        let headers = u128::from(packets) * u128::from(header_bytes);
        let mut all = Vec::new();
        if headers > bytes.into() {
            all.push(format!(
                "{packets} packets with {header_bytes} B of headers each are more than {bytes} B in all: what fewer of \
                 them would save is wrong"
            ));
        }
        if let Some(payload) = payload.filter(|payload| *payload > bytes) {
            all.push(format!("{payload} B of payload are more than {bytes} B in all"));
        }
        all
    }

    fn payload(&self) -> u64 {
        self.bytes.saturating_sub(self.packets.saturating_mul(self.header_bytes.into()))
    }
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhatIf {
    /// Another way.
    Path(String),
    /// So many ten-thousandths of the packets fewer, for the same payload.
    FewerPackets(u32),
    /// Payload compressed to a thousandth of this part.
    Compression(u32),
    /// So many bytes more (or fewer) in every packet, as an encapsulation adds.
    Overhead(i32),
}

impl WhatIf {
    /// The other way, if that is the change.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        if let Self::Path(path) = self { Some(path) } else { None }
    }

    /// The traffic after the change.
    #[must_use]
    pub fn apply(&self, before: Traffic) -> Traffic {
        match *self {
            Self::Path(_) => before,
            Self::FewerPackets(share) => {
                let gone = part(before.packets, share, 10_000);
                let saved = gone.saturating_mul(before.header_bytes.into());
                let bytes = before.bytes.saturating_sub(saved);
                Traffic { bytes, packets: before.packets - gone, ..before }
            }
            Self::Compression(ratio) => {
                let squeezed =
                    |whole| u64::try_from((u128::from(whole) * 1000).div_ceil(ratio.into()));
                let packets = squeezed(before.packets).unwrap_or(u64::MAX);
                let headers = packets.saturating_mul(before.header_bytes.into());
                let payload = squeezed(before.payload()).unwrap_or(u64::MAX);
                Traffic { bytes: capped(payload.saturating_add(headers)), packets, ..before }
            }
            Self::Overhead(each) => {
                let all = before.packets.saturating_mul(each.unsigned_abs().into());
                let more = capped(before.bytes.saturating_add(all));
                let bytes = if each < 0 { before.bytes.saturating_sub(all) } else { more };
                Traffic { bytes, ..before }
            }
        }
    }

    /// What has to be known to read the figures rightly.
    #[must_use]
    pub fn remark(&self, before: Traffic) -> String {
        let Traffic { packets, header_bytes, .. } = before;
        match self {
            Self::Path(_) => "the same bytes on another way".into(),
            Self::FewerPackets(_) => format!(
                "bytes are billed, not packets: of {packets} packets only {header_bytes} B of headers each are saved"
            ),
            Self::Compression(_) => format!(
                "payload and packets shrink alike, with {header_bytes} B of headers each; the CPU time is not in the bill"
            ),
            Self::Overhead(_) => format!("the same {packets} packets"),
        }
    }
}

fn part(whole: u64, share: u32, of: u32) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(share) / u128::from(of)).unwrap_or(whole)
}

fn capped(bytes: u64) -> u64 {
    bytes.min(MOST_BYTES)
}

impl FromStr for WhatIf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is none of path=NAME, packets=-PERCENT%, compression=RATIO (above 1), overhead=BYTES (per packet)"
            )
        };
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let change = match name {
            "path" if !value.is_empty() => Some(Self::Path(value.into())),
            "packets" => value
                .strip_prefix('-')
                .and_then(|value| value.strip_suffix('%'))
                .and_then(|value| decimal(value, 2))
                .filter(|share| *share <= 10_000)
                .map(Self::FewerPackets),
            "compression" => decimal(value, 3).filter(|ratio| *ratio > 1000).map(Self::Compression),
            "overhead" => {
                value.parse().ok().filter(|each| (-1500..=9000).contains(each)).map(Self::Overhead)
            }
            _ => None,
        };
        change.ok_or_else(wrong)
    }
}

/// A decimal number in units of its last place.
fn decimal(text: &str, places: usize) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > places || whole.len() > 5 {
        return None;
    }
    format!("{whole}{part:0<places$}").parse().ok()
}

impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "by {path}"),
            Self::FewerPackets(share) => write!(f, "{} % fewer packets", f64::from(*share) / 100.0),
            Self::Compression(ratio) => {
                write!(f, "payload compressed {} times", f64::from(*ratio) / 1000.0)
            }
            Self::Overhead(each) => write!(f, "{each:+} B in every packet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn what_if(text: &str) -> WhatIf {
        text.parse().expect(text)
    }

    /// By hand: 10^12 B in packets of 1 500 B are 666 666 667; 12 % are 80 000 000 (rounded down), with 52 B each
    /// 4 160 000 000 B, 0.416 % of the bytes.
    #[test]
    fn fewer_packets_save_headers_only() {
        let before = Traffic::new(1_000_000_000_000, None, HEADER_BYTES);
        let after = what_if("packets=-12%").apply(before);
        assert_eq!(before.packets - after.packets, 80_000_000);
        assert_eq!(before.bytes - after.bytes, 4_160_000_000);
    }

    /// By hand: 1 000 packets of 1 052 B carry 1 000 000 B; halved, 500 packets with 500 000 B and 26 000 B of headers.
    #[test]
    fn compression_leaves_headers_as_they_are() {
        let before = Traffic::new(1_052_000, Some(1_000), HEADER_BYTES);
        let after = what_if("compression=2").apply(before);
        assert_eq!((after.bytes, after.packets), (526_000, 500));
    }

    #[test]
    fn an_encapsulation_costs_its_bytes_in_every_packet() {
        let before = Traffic::new(1_000_000, Some(1_000), HEADER_BYTES);
        assert_eq!(what_if("overhead=50").apply(before).bytes, 1_050_000);
        assert_eq!(what_if("overhead=-60").apply(before).bytes, 940_000);
    }

    #[test]
    fn more_headers_or_payload_than_bytes_are_doubted() {
        let sound = Traffic::new(52_000, Some(1_000), HEADER_BYTES);
        assert_eq!(sound.doubts(Some(52_000)), [""; 0]);
        let odd = Traffic::new(51_999, Some(1_000), HEADER_BYTES).doubts(Some(52_000));
        assert!(odd[0].starts_with("1000 packets with 52 B of headers each are more"), "{odd:?}");
        assert!(odd[1].contains("of payload are more"), "{odd:?}");
    }

    #[test]
    fn what_is_no_change_is_refused() {
        let wrong = [
            "",
            "path=",
            "packets=12%",
            "packets=-101%",
            "packets=-1.234%",
            "compression=1",
            "compression=0.5",
            "overhead=x",
            "overhead=10000",
            "color=red",
            "packets",
        ];
        for wrong in wrong {
            assert!(wrong.parse::<WhatIf>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_traffic_is_too_odd(bytes in any::<u64>(), packets in any::<u64>(), header in any::<u32>(), size in 0u32..10_000) {
            let before = Traffic { bytes, packets, header_bytes: header };
            let changes = [WhatIf::FewerPackets(size), WhatIf::Compression(1001 + size), WhatIf::Overhead(-1500), WhatIf::Overhead(9000)];
            for change in changes {
                let after = change.apply(before);
                prop_assert!(after.packets <= before.packets);
            }
        }
    }
}
