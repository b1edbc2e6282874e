//! The code of RFC 7541, appendix B. It is canonical: lengths say all.

use super::Malformed;

/// Stands for no byte.
const END: usize = 256;
const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// Bits of each byte's code, and of the end's.
#[rustfmt::skip]
const LENGTHS: [u8; END + 1] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// What a canonical code is decoded by.
struct Code {
    /// The first code of each length,
    first: [u32; LONGEST + 1],
    /// how many there are,
    count: [u32; LONGEST + 1],
    /// and where their bytes begin in `bytes`.
    start: [usize; LONGEST + 1],
    /// By length and value.
    bytes: [u16; END + 1],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut code = Code {
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        start: [0; LONGEST + 1],
        bytes: [0; END + 1],
    };
    let (mut length, mut next, mut placed) = (1, 0, 0);
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = next;
        code.start[length] = placed;
        let mut byte = 0u16;
        while byte as usize <= END {
            if LENGTHS[byte as usize] as usize == length {
                code.bytes[placed] = byte;
                code.count[length] += 1;
                placed += 1;
                next += 1;
            }
            byte += 1;
        }
        length += 1;
    }
    code
}

/// Appends what was encoded.
///
/// # Errors
/// It is not in the code.
pub(super) fn decode(encoded: &[u8], to: &mut Vec<u8>) -> Result<(), Malformed> {
    let (mut bits, mut held) = (0u64, 0);
    let mut rest = encoded.iter();
    loop {
        while held <= 56
            && let Some(byte) = rest.next()
        {
            bits |= u64::from(*byte) << (56 - held);
            held += 8;
        }
        let Some((length, byte)) = first(bits).filter(|(length, _)| *length <= held) else {
            // What is left is the beginning of the end's code, shorter than a byte.
            return if held < 8 && bits.leading_ones() as usize >= held {
                Ok(())
            } else {
                Err(Malformed)
            };
        };
        to.push(u8::try_from(byte).map_err(|_| Malformed)?);
        bits <<= length;
        held -= length;
    }
}

/// The code that bits begin with: its length and byte.
fn first(bits: u64) -> Option<(usize, u16)> {
    (SHORTEST..=LONGEST).find_map(|length| {
        let code = u32::try_from(bits >> (64 - length)).ok()?;
        let place = code.checked_sub(CODE.first[length]).filter(|at| *at < CODE.count[length])?;
        Some((length, CODE.bytes[CODE.start[length] + place as usize]))
    })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn encode(bytes: &[u8]) -> Vec<u8> {
        let mut bits = Vec::new();
        for byte in bytes {
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            let (start, count) = (CODE.start[length], CODE.count[length] as usize);
            let place =
                CODE.bytes[start..start + count].iter().position(|one| *one == u16::from(*byte));
            let code = CODE.first[length] + u32::try_from(place.unwrap()).unwrap();
            bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
        }
        while bits.len() % 8 != 0 {
            bits.push(true);
        }
        bits.chunks(8)
            .map(|eight| eight.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
            .collect()
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(bytes in vec(any::<u8>(), 0..200)) {
            let mut decoded = Vec::new();
            prop_assert_eq!(decode(&encode(&bytes), &mut decoded), Ok(()));
            prop_assert_eq!(decoded, bytes);
        }

        #[test]
        fn garbage_does_no_harm(bytes in vec(any::<u8>(), 0..200)) {
            let mut decoded = Vec::new();
            let _ = decode(&bytes, &mut decoded);
            prop_assert!(decoded.len() <= bytes.len() * 8 / SHORTEST);
        }
    }

    #[test]
    fn the_rfcs_examples_are_read() {
        for (encoded, text) in [
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x64, 0x02], "302"),
        ] {
            let mut decoded = Vec::new();
            assert_eq!(decode(encoded, &mut decoded), Ok(()));
            assert_eq!(decoded, text.as_bytes());
        }
    }

    #[test]
    fn padding_is_ones_and_less_than_a_byte() {
        for wrong in [&[0x18][..], &[0x64, 0x02, 0xff], &[0xff; 4], &[0xff]] {
            assert_eq!(decode(wrong, &mut Vec::new()), Err(Malformed), "{wrong:?}");
        }
    }
}
