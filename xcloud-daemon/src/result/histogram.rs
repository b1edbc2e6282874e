//! Distributions between a file and memory.

use std::io::Read as _;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::ZlibDecoder;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};

use super::Histogram;
use crate::measure::histogram::bucket;

/// Longest encoding taken, in bytes before compression: ten times what three digits over a day need.
const LONGEST: u64 = 4 << 20;

/// Cookie and length of the compressed encoding.
const COMPRESSED_HEADER: usize = 8;

/// What comes before the counts: cookie, their length, offset, digits, lowest, highest, ratio.
const HEADER: usize = 40;

impl Histogram {
    /// Ready to be written; all values are exact.
    ///
    /// # Errors
    /// It is too large for its encoding.
    pub fn encode(values: &hdrhistogram::Histogram<u64>) -> Result<Self> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(values, &mut bytes)
            .map_err(|error| anyhow!("encoding a histogram: {error}"))?;
        Ok(Self { hdr: STANDARD.encode(bytes), censored: 0, censored_from_ns: None })
    }

    /// The smallest of the values that are only lower bounds: 0, below which nothing is, where that is not known.
    #[must_use]
    pub fn lowest_bound_ns(&self) -> Option<u64> {
        (self.censored > 0).then(|| self.censored_from_ns.unwrap_or(0))
    }

    /// The values, ready to be merged and asked.
    ///
    /// # Errors
    /// The text is no histogram, or a larger one than any tool writes.
    pub fn decode(&self) -> Result<hdrhistogram::Histogram<u64>> {
        let bytes = STANDARD.decode(&self.hdr).context("a histogram that is not base64")?;
        let compressed = bytes.get(COMPRESSED_HEADER..).context("a histogram without a header")?;
        let mut plain = Vec::new();
        ZlibDecoder::new(compressed)
            .take(LONGEST)
            .read_to_end(&mut plain)
            .context("decompressing a histogram")?;
        // The decoder reserves what the header asks for, be it gigabytes.
        let said = plain.get(4..8).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes);
        let there = plain.len().checked_sub(HEADER);
        if said.map(|length| length as usize) != there {
            bail!("a histogram that is cut off, or longer than {LONGEST} bytes");
        }
        Deserializer::new()
            .deserialize(&mut &plain[..])
            .map_err(|error| anyhow!("no HdrHistogram in V2 encoding: {error}"))
    }
}

/// Whether a quantile may be higher than it seems, given the smallest of the values that are only lower bounds: one below all
/// of those is exact, whatever the true values are. Within a bucket there is no below.
#[must_use]
pub fn is_lower_bound(quantile_ns: u64, lowest_bound_ns: Option<u64>) -> bool {
    lowest_bound_ns.is_some_and(|bound| bucket(bound) <= bucket(quantile_ns))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(values in proptest::collection::vec(1u64..1_000_000_000, 0..50)) {
            let mut histogram = hdrhistogram::Histogram::new(3).expect("three digits");
            values.iter().for_each(|value| histogram.record(*value).expect("resizes"));
            let decoded = Histogram::encode(&histogram).expect("encodes").decode().expect("decodes");
            prop_assert_eq!(decoded, histogram);
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let garbage = exact(&bytes);
            prop_assert!(garbage.decode().is_err());
        }

        #[test]
        fn damage_is_no_panic(at in 0usize..60, byte in any::<u8>(), cut in 0usize..60) {
            let mut plain = plain();
            let at = at.min(plain.len() - 1);
            plain[at] = byte;
            plain.truncate(plain.len().saturating_sub(cut));
            drop(compressed(&plain).decode());
        }
    }

    fn exact(bytes: &[u8]) -> Histogram {
        Histogram { hdr: STANDARD.encode(bytes), censored: 0, censored_from_ns: None }
    }

    fn plain() -> Vec<u8> {
        let mut histogram = hdrhistogram::Histogram::<u64>::new(3).expect("three digits");
        histogram.record_n(1_000_000, 300).expect("resizes");
        let mut bytes = Vec::new();
        hdrhistogram::serialization::V2Serializer::new()
            .serialize(&histogram, &mut bytes)
            .expect("encodes");
        bytes
    }

    fn compressed(plain: &[u8]) -> Histogram {
        let mut bytes = vec![0; COMPRESSED_HEADER];
        let level = flate2::Compression::fast();
        std::io::copy(&mut flate2::read::ZlibEncoder::new(plain, level), &mut bytes).expect("fits");
        exact(&bytes)
    }

    #[test]
    fn lower_bounds_of_a_file_that_does_not_say_where_they_are_may_be_anywhere() {
        let read = |json: &str| serde_json::from_str::<Histogram>(json).expect("a histogram");
        let bound = |json| read(json).lowest_bound_ns();
        assert_eq!(bound(r#"{"hdr": ""}"#), None);
        assert_eq!(bound(r#"{"hdr": "", "censored": 3}"#), Some(0));
        assert_eq!(bound(r#"{"hdr": "", "censored": 3, "censored_from_ns": 5}"#), Some(5));
        assert_eq!(bound(r#"{"hdr": "", "censored": 0, "censored_from_ns": 5}"#), None);
    }

    #[test]
    fn a_length_that_would_take_gigabytes_is_refused() {
        let mut plain = plain();
        assert_eq!(compressed(&plain).decode().expect("decodes").len(), 300);
        plain[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        let error = compressed(&plain).decode().expect_err("refused").to_string();
        assert!(error.contains("cut off"), "{error}");
    }
}
