//! Which exposition format a scrape wants, by its `Accept` header.

use super::text::Dialect;

/// What can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One of the texts.
    Text(Dialect),
    /// Length-delimited protocol buffers.
    Protobuf,
}

impl Format {
    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text(Dialect::Prometheus) => "text/plain; version=0.0.4; charset=utf-8",
            Self::Text(Dialect::OpenMetrics) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// The format that is wanted most, the first of those wanted as much; Prometheus's text where nothing that can be served
/// is named, since a person with a browser or curl asks so.
#[must_use]
pub fn format(accept: &str) -> Format {
    let mut best = (Format::Text(Dialect::Prometheus), 0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let value = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim().trim_matches('"'))
        };
        let format = match &media[..] {
            "application/vnd.google.protobuf"
                if value("proto") == Some("io.prometheus.client.MetricFamily")
                    && value("encoding") == Some("delimited") =>
            {
                Format::Protobuf
            }
            "application/openmetrics-text" => Format::Text(Dialect::OpenMetrics),
            "text/plain" | "text/*" | "*/*" => Format::Text(Dialect::Prometheus),
            _ => continue,
        };
        let weight = value("q").map_or(1000, thousandths);
        if weight > best.1 {
            best = (format, weight);
        }
    }
    best.0
}

/// A weight from 0 to 1 in thousandths; what is none counts as 0.
fn thousandths(text: &str) -> u16 {
    let number = text.parse::<f32>().unwrap_or(0.0);
    (0..=1000).rev().find(|one| f32::from(*one) <= number.clamp(0.0, 1.0) * 1000.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Prometheus 2.42 asks for with native histograms on.
    const NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
        encoding=delimited,application/openmetrics-text;version=1.0.0,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

    #[test]
    fn who_reads_native_histograms_gets_them() {
        assert_eq!(format(NATIVE), Format::Protobuf);
    }

    #[test]
    fn weights_decide() {
        let openmetrics = "text/plain;q=0.5, application/openmetrics-text; version=1.0.0; q=0.75";
        assert_eq!(format(openmetrics), Format::Text(Dialect::OpenMetrics));
        let text = "application/openmetrics-text;q=0.2,text/plain;version=0.0.4;q=0.3";
        assert_eq!(format(text), Format::Text(Dialect::Prometheus));
    }

    #[test]
    fn people_get_text() {
        for accept in ["", "*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json"] {
            assert_eq!(format(accept), Format::Text(Dialect::Prometheus), "{accept}");
        }
        let other = "application/vnd.google.protobuf;proto=some.Other;encoding=delimited";
        assert_eq!(format(other), Format::Text(Dialect::Prometheus));
    }

    proptest! {
        #[test]
        fn no_header_is_too_odd(accept in ".*", weight in ".*") {
            let _ = format(&accept);
            let _ = format(&format!("text/plain;q={weight}"));
        }
    }
}
