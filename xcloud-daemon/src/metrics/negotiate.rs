//! Which exposition format a scrape wants, by its `Accept` header.

/// What can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text 0.0.4.
    Text,
    /// Prometheus's text 1.0.0, which differs in names that metrics here have not.
    Text1,
    /// OpenMetrics text 1.0.0.
    OpenMetrics,
    /// Length-delimited protocol buffers.
    Protobuf,
}

impl Format {
    /// Its media type. No scheme of escaping names is stated, since the one assumed then leaves all names here as they are.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::Text1 => "text/plain; version=1.0.0; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// What a media type with these parameters is, if it can be served.
    fn named<'a>(media: &str, parameter: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        Some(match (media, parameter("version")) {
            ("application/vnd.google.protobuf", _)
                if parameter("proto") == Some("io.prometheus.client.MetricFamily")
                    && parameter("encoding") == Some("delimited") =>
            {
                Self::Protobuf
            }
            ("application/openmetrics-text", None | Some("1.0.0")) => Self::OpenMetrics,
            ("text/plain", Some("1.0.0")) => Self::Text1,
            ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => Self::Text,
            _ => return None,
        })
    }
}

/// The format that is wanted most, the first of those wanted as much; Prometheus's text where nothing that can be served
/// is named, since a person with a browser or curl asks so.
#[must_use]
pub fn format(accept: &str) -> Format {
    let mut best = (Format::Text, 0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let value = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim().trim_matches('"'))
        };
        let Some(format) = Format::named(&media, value) else { continue };
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

    /// What Prometheus asks for: its version, whether native histograms are on, and the header to the letter.
    const ASKED: [(&str, bool, &str); 9] = [
        (
            "2.42",
            false,
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ),
        (
            "2.42",
            true,
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
             application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ),
        (
            "2.55",
            false,
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ),
        (
            "2.55",
            true,
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,\
             application/openmetrics-text;version=1.0.0;q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ),
        (
            "3.0",
            false,
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;escaping=allow-utf-8;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,*/*;q=0.2",
        ),
        (
            "3.0",
            true,
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;\
             escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;escaping=allow-utf-8;q=0.4,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             text/plain;version=0.0.4;escaping=allow-utf-8;q=0.2,*/*;q=0.1",
        ),
        (
            "3, later",
            false,
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ),
        (
            "3, later",
            true,
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ),
        (
            "3.15",
            true,
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,\
             application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ),
    ];

    #[test]
    fn every_prometheus_gets_native_histograms_where_it_reads_them_and_openmetrics_elsewhere() {
        for (version, native, accept) in ASKED {
            let wanted = if native { Format::Protobuf } else { Format::OpenMetrics };
            assert_eq!(format(accept), wanted, "{version}: {accept}");
        }
    }

    #[test]
    fn weights_decide() {
        let openmetrics = "text/plain;q=0.5, application/openmetrics-text; version=1.0.0; q=0.75";
        assert_eq!(format(openmetrics), Format::OpenMetrics);
        let text = "application/openmetrics-text;q=0.2,text/plain;version=0.0.4;q=0.3";
        assert_eq!(format(text), Format::Text);
    }

    #[test]
    fn only_versions_that_can_be_served_count() {
        let only = "text/plain;version=1.0.0;escaping=underscores;q=0.6,*/*;q=0.5";
        assert_eq!(format(only), Format::Text1);
        let old =
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(format(old), Format::Text, "as Prometheus 2.30 asks");
        let new = "application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0;q=0.9";
        assert_eq!(format(new), Format::OpenMetrics);
        let unknown = "text/plain;version=7,text/plain;version=1.0.0;q=0.1";
        assert_eq!(format(unknown), Format::Text1);
    }

    #[test]
    fn people_get_text() {
        for accept in ["", "*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json"] {
            assert_eq!(format(accept), Format::Text, "{accept}");
        }
        let other = "application/vnd.google.protobuf;proto=some.Other;encoding=delimited";
        assert_eq!(format(other), Format::Text);
    }

    proptest! {
        #[test]
        fn no_header_is_too_odd(accept in ".*", weight in ".*") {
            let _ = format(&accept);
            let _ = format(&format!("text/plain;q={weight}"));
        }
    }
}
