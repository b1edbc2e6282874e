//! Headers that a receiver asks for, an API token mostly: no message, log or debugging output shows one.

use std::{fmt, fs::File, io::Read as _, path::PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use percent_encoding::percent_decode_str;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

use crate::usage::usage;

/// Longest text read.
const LONGEST: u64 = 16 << 10;

/// Headers as somebody wrote them, which may be wrong.
#[derive(Clone)]
pub struct Written(String);

impl From<String> for Written {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(..)")
    }
}

/// Where headers come from.
#[derive(Debug)]
pub enum Headers {
    /// There are always the same, or none.
    Fixed(MetadataMap),
    /// A file, which may change.
    File(PathBuf),
}

impl Headers {
    /// Those of a flag, or of a file, which is read to see whether it can be.
    ///
    /// # Errors
    /// They are no headers, or the file cannot be read.
    pub fn of(written: Option<&Written>, file: Option<PathBuf>) -> Result<Self> {
        if let Some(file) = file {
            let headers = Self::File(file);
            headers.now()?;
            return Ok(headers);
        }
        let text = written.map_or("", |written| &written.0);
        let headers = parse(text).map_err(|error| usage(format!("--otlp-headers: {error:#}")))?;
        Ok(Self::Fixed(headers))
    }

    /// Whether there may be any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Fixed(headers) if headers.is_empty())
    }

    /// The headers as they are now.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn now(&self) -> Result<MetadataMap> {
        let file = match self {
            Self::Fixed(headers) => return Ok(headers.clone()),
            Self::File(file) => file,
        };
        let of_file = || format!("--otlp-headers-file {}", file.display());
        let mut text = String::new();
        let mut reading = File::open(file).with_context(of_file)?.take(LONGEST + 1);
        reading.read_to_string(&mut text).with_context(of_file)?;
        parse(&text).with_context(of_file)
    }
}

/// Reads `name=value,name=value`, the form of `OTEL_EXPORTER_OTLP_HEADERS`: what is special in a value is `%` and two
/// hexadecimal digits. Lines end a header as commas do.
fn parse(text: &str) -> Result<MetadataMap> {
    ensure!(text.len() as u64 <= LONGEST, "has more than {LONGEST} bytes");
    let parts = text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty());
    let mut headers = MetadataMap::new();
    for (number, part) in (1..).zip(parts) {
        let (name, value) = header(part).with_context(|| format!("header {number}"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// One header; what is wrong with it is said without it.
fn header(text: &str) -> Result<(AsciiMetadataKey, AsciiMetadataValue)> {
    let (name, value) = text.split_once('=').context("is not NAME=VALUE")?;
    let name = AsciiMetadataKey::from_bytes(name.trim().as_bytes());
    let name = name.map_err(|_| anyhow!("has a name that no header of text may have"))?;
    let value = percent_decode_str(value.trim()).decode_utf8().context("its value")?;
    let value = AsciiMetadataValue::try_from(&value[..]);
    let mut value = value.map_err(|_| anyhow!("has a value that no header may have"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn told(headers: &MetadataMap) -> Vec<(&str, &str)> {
        let mut all: Vec<_> = ["authorization", "x-scope-orgid"]
            .into_iter()
            .filter_map(|name| Some((name, headers.get(name)?.to_str().expect("text"))))
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn headers_are_read_as_opentelemetry_writes_them() {
        let text = "Authorization=Basic%20dXNlcjpwYXNz==, X-Scope-OrgID = team%2C1\n";
        let headers = parse(text).expect("headers");
        let wanted = [("authorization", "Basic dXNlcjpwYXNz=="), ("x-scope-orgid", "team,1")];
        assert_eq!(told(&headers), wanted);
        assert!(parse(" \n,").expect("none").is_empty());
        let lines = parse("authorization=Bearer a b\nx-scope-orgid=1\n").expect("headers");
        assert_eq!(told(&lines), [("authorization", "Bearer a b"), ("x-scope-orgid", "1")]);
    }

    #[test]
    fn nothing_said_of_headers_shows_them() {
        let secret = "S3cret";
        let whole = Written::from(format!("authorization={secret}"));
        assert!(!format!("{whole:?}").contains(secret));
        let headers = Headers::of(Some(&whole), None).expect("headers");
        assert!(!format!("{headers:?}").contains(secret), "{headers:?}");
        for wrong in [
            secret.to_owned(),
            format!("a=b,{secret}"),
            format!("{secret} {secret}=b"),
            format!("a={secret}%0A"),
            format!("a={secret}%FF"),
            format!("a-bin={secret}"),
            format!("a={secret}{}", "b".repeat(1 << 14)),
        ] {
            let wrong = Written::from(wrong);
            let error = Headers::of(Some(&wrong), None).expect_err("no header");
            assert!(!format!("{error:#} {error:?}").contains(secret), "{error:#}");
        }
    }

    #[test]
    fn a_file_is_read_anew_and_one_that_is_missing_or_wrong_is_named() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("headers");
        let missing = Headers::of(None, Some(path.clone())).expect_err("no file");
        assert!(format!("{missing:#}").contains("headers: No such file"), "{missing:#}");
        fs::write(&path, "authorization=1\n").expect("a file");
        let headers = Headers::of(None, Some(path.clone())).expect("headers");
        assert_eq!(told(&headers.now().expect("headers")), [("authorization", "1")]);
        fs::write(&path, "authorization=2\n").expect("a file");
        assert_eq!(told(&headers.now().expect("headers")), [("authorization", "2")]);
        fs::write(&path, "token\n").expect("a file");
        let wrong = headers.now().expect_err("no header");
        assert!(
            format!("{wrong:#}").ends_with("headers: header 1: is not NAME=VALUE"),
            "{wrong:#}"
        );
    }
}
