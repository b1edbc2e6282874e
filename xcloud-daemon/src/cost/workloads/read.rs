//! A usage file: CSV with a header, or a JSON array, of `workload`, `to_site`, `bytes`, `packets`, `payload_bytes`.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use super::Usage;
use crate::{cost::volume::MOST_BYTES, place::Place};

/// Longest file read, in bytes.
const LONGEST: u64 = 64 << 20;

/// Most rows read, so that no amount of money overflows.
const MOST_ROWS: usize = 100_000;

/// Longest name of a workload, in bytes.
const LONGEST_NAME: usize = 512;

#[derive(Deserialize)]
struct Raw {
    workload: String,
    to_site: String,
    bytes: u64,
    packets: Option<u64>,
    payload_bytes: Option<u64>,
}

/// Reads a file of bytes that all leave one place.
///
/// # Errors
/// It cannot be read, or a row is wrong; the row is named.
pub fn read(path: &Path, from: &Place) -> Result<Vec<Usage>> {
    let reading = || format!("reading usage from {}", path.display());
    let mut text = String::new();
    let file = File::open(path).with_context(reading)?;
    file.take(LONGEST + 1).read_to_string(&mut text).with_context(reading)?;
    if text.len() as u64 > LONGEST {
        bail!("{} has more than {LONGEST} bytes; split it", path.display());
    }
    parse(&text, from).with_context(reading)
}

/// Rows from the text of a file.
///
/// # Errors
/// A row is wrong, or there is none.
pub fn parse(text: &str, from: &Place) -> Result<Vec<Usage>> {
    let rows: Vec<Raw> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).context("as JSON")?
    } else {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        reader.deserialize().take(MOST_ROWS + 1).collect::<Result<_, _>>().context("as CSV")?
    };
    if rows.is_empty() {
        bail!("it has no row");
    }
    if rows.len() > MOST_ROWS {
        bail!("it has more than {MOST_ROWS} rows; split it");
    }
    let checked = |(row, raw): (u32, Raw)| raw.checked(from).with_context(|| format!("row {row}"));
    (1..).zip(rows).map(checked).collect()
}

impl Raw {
    fn checked(self, from: &Place) -> Result<Usage> {
        if self.workload.len() > LONGEST_NAME {
            bail!("a workload's name of {} bytes; at most {LONGEST_NAME}", self.workload.len());
        }
        if self.bytes > MOST_BYTES {
            bail!("{} bytes; at most {MOST_BYTES}", self.bytes);
        }
        let to = self.to_site.parse().map_err(|why| anyhow!("to_site: {why}"))?;
        Ok(Usage {
            workload: self.workload,
            from: from.clone(),
            to,
            bytes: self.bytes,
            packets: self.packets,
            payload_bytes: self.payload_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Vec<Usage>> {
        super::parse(text, &"aws/us-east-1".parse().expect("a place"))
    }

    const CSV: &str = "workload,to_site,bytes,packets\nshop/api, gcp/us-central1 ,1000,2\nshop/log,azure/eastus,5,\n";

    #[test]
    fn csv_and_json_say_the_same() {
        let json = r#"[{"workload":"shop/api","to_site":"gcp/us-central1","bytes":1000,"packets":2},
            {"workload":"shop/log","to_site":"azure/eastus","bytes":5}]"#;
        let rows = parse(CSV).expect("rows");
        assert_eq!(rows, parse(json).expect("rows"));
        assert_eq!((rows[0].bytes, rows[1].packets), (1000, None));
    }

    #[test]
    fn a_wrong_row_is_named() {
        for (text, says) in [
            ("", "no row"),
            ("[]", "no row"),
            ("workload,to_site,bytes\na,b,1", "row 1: to_site: \"b\" is no place"),
            ("workload,to_site,bytes\na,aws/us-east-1,-1", "line: 2"),
            (
                "workload,to_site,bytes\na,aws/us-east-1,2000000000000000000",
                "row 1: 2000000000000000000 bytes",
            ),
            ("[{]", "as JSON"),
        ] {
            let error = format!("{:#}", parse(text).expect_err(text));
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_panic(text in "\\PC{0,300}") {
            drop(parse(&text));
            drop(parse(&format!("workload,to_site,bytes\n{text}")));
            drop(parse(&format!("[{text}")));
        }
    }
}
