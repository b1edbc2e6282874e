//! Holds what others read against what `xcloud split -o json` says.

use anyhow::Result;
use serde_json::Value;

use super::prometheus::Prometheus;

/// Error stated for a quantile read from the buckets: half a bucket of 2^(1/16) either way, and the 0.1 % of the split's
/// own histograms.
const QUANTILE_ERROR: f64 = 0.0219 + 0.001;
/// What Prometheus's own interpolation may add to that: it may say any value of the bucket.
const BUCKET: f64 = 0.0443 + 0.001;
/// Quantiles that are compared, by their name in the split.
const QUANTILES: [(&str, f64); 4] =
    [("p50_ns", 0.5), ("p90_ns", 0.9), ("p99_ns", 0.99), ("p999_ns", 0.999)];
/// Most compared: with fewer exchanges than these a quantile is one of few values, and others rank it otherwise.
const ENOUGH: u64 = 200;

/// The split's paths that both ends saw, and that have enough exchanges.
fn paths(split: &Value) -> impl Iterator<Item = &Value> {
    let all = split["paths"].as_array().into_iter().flatten();
    all.filter(|path| path["joined"].as_u64() >= Some(ENOUGH))
}

/// A path's distributions with the name of their segment; the whole has none.
fn distributions(path: &Value) -> impl Iterator<Item = (Option<&str>, &Value)> {
    let segments = path["segments"].as_object().into_iter().flatten();
    let segments = segments.filter(|(_, one)| one["count"].as_u64() >= Some(ENOUGH));
    let segments = segments.map(|(name, one)| (Some(&name[..]), one));
    [(None, &path["total"])].into_iter().chain(segments)
}

/// The exported point of a path's distribution.
fn point<'a>(export: &'a Value, path: &Value, segment: Option<&str>) -> Option<&'a Value> {
    let name = segment.map_or("xcloud.exchange.latency", |_| "xcloud.datapath.latency");
    let is_it = |one: &&Value| {
        let attributes = &one["attributes"];
        one["name"] == name
            && attributes["source.k8s.node.name"] == path["near"]["node"]
            && attributes["destination.k8s.node.name"] == path["far"]["node"]
            && attributes["xcloud.kind"] == path["kind"]
            && segment.is_none_or(|segment| attributes["xcloud.segment"] == segment)
    };
    export["series"].as_array()?.iter().find(is_it)
}

/// Whether every path's whole times were exported to the last.
pub(super) fn is_complete(export: &Value, split: &Value) -> bool {
    paths(split).all(|path| {
        let point = point(export, path, None);
        point.is_some_and(|point| point["value"]["count"] == path["total"]["count"])
    })
}

/// What is wrong with what the OTLP receiver got.
pub(super) fn export(export: &Value, split: &Value) -> Vec<String> {
    let mut wrong: Vec<_> =
        export["wrong"].as_array().into_iter().flatten().map(Value::to_string).collect();
    if export["resource"]["service.name"] != "xcloud-aggregator" {
        wrong.push(format!("the exporter calls itself {}", export["resource"]));
    }
    let mut compared = 0;
    for path in paths(split) {
        for (segment, distribution) in distributions(path) {
            compared += 1;
            let what = format!("{} of {}", segment.unwrap_or("total"), path["kind"]);
            match point(export, path, segment) {
                Some(point) => wrong.extend(differ(&what, point, distribution)),
                None => wrong.push(format!("OTLP: {what} was not exported")),
            }
        }
    }
    if compared < 10 {
        wrong.push(format!("only {compared} distributions could be compared"));
    }
    wrong
}

fn differ(what: &str, point: &Value, distribution: &Value) -> Vec<String> {
    let value = &point["value"];
    if value["count"] != distribution["count"] {
        let counts = (&value["count"], &distribution["count"]);
        return vec![format!("OTLP: {what} counts {}, the split {}", counts.0, counts.1)];
    }
    if point["unit"] != "s" {
        return vec![format!("OTLP: {what} is in {}, not s", point["unit"])];
    }
    let one = |(name, quantile): (&str, f64)| {
        let seconds = distribution[name].as_f64()? / 1e9;
        let read = middle(value, quantile)?;
        let off = (read / seconds - 1.0).abs();
        (off > QUANTILE_ERROR && seconds > 0.0)
            .then(|| format!("OTLP: {name} of {what} is {read} s, {seconds} s in the split"))
    };
    QUANTILES.into_iter().filter_map(one).collect()
}

/// The geometric middle of the bucket that holds a quantile.
fn middle(histogram: &Value, quantile: f64) -> Option<f64> {
    let wanted = (quantile * histogram["count"].as_f64()?).ceil().max(1.0);
    let mut seen = histogram["zero"].as_f64()?;
    if seen >= wanted {
        return None;
    }
    histogram["buckets"].as_array()?.iter().find_map(|bucket| {
        seen += bucket[2].as_f64()?;
        (seen >= wanted).then(|| Some((bucket[0].as_f64()? * bucket[1].as_f64()?).sqrt()))?
    })
}

/// What is wrong with what Prometheus scraped.
pub(super) fn scraped(prometheus: &Prometheus, split: &Value) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let down = prometheus.query("up != 1")?;
    wrong.extend(down.iter().map(|one| format!("Prometheus cannot scrape {}", one["metric"])));
    for path in paths(split) {
        let text = |end: &str| path[end]["node"].as_str().unwrap_or_default().to_owned();
        let kind = path["kind"].as_str().unwrap_or_default();
        let which =
            format!(r#"near_node="{}",far_node="{}",kind="{kind}""#, text("near"), text("far"));
        for (segment, distribution) in distributions(path) {
            let name = match segment {
                Some(segment) => {
                    format!(r#"xcloud_datapath_latency_seconds{{{which},segment="{segment}"}}"#)
                }
                None => format!("xcloud_exchange_latency_seconds{{{which}}}"),
            };
            wrong.extend(native(prometheus, &name, distribution)?);
        }
    }
    Ok(wrong)
}

/// How a native histogram differs from the split.
fn native(prometheus: &Prometheus, name: &str, distribution: &Value) -> Result<Vec<String>> {
    let count = prometheus.number(&format!("histogram_count({name})"))?;
    if Some(count) != distribution["count"].as_f64() {
        return Ok(vec![format!(
            "Prometheus counts {count} in {name}, the split {}",
            distribution["count"]
        )]);
    }
    let mut wrong = Vec::new();
    for (key, quantile) in QUANTILES {
        let seconds = distribution[key].as_f64().unwrap_or(0.0) / 1e9;
        let read = prometheus.number(&format!("histogram_quantile({quantile}, {name})"))?;
        if seconds > 0.0 && (read / seconds - 1.0).abs() > BUCKET {
            wrong
                .push(format!("Prometheus: {key} of {name} is {read} s, {seconds} s in the split"));
        }
    }
    Ok(wrong)
}

/// What is wrong with what a collector found by reflection.
pub(super) fn reflected(found: &Value, split: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for service in [
        "xcloud.observer.v1.ObserverService",
        "xcloud.ingest.v1.IngestService",
        "grpc.health.v1.Health",
    ] {
        let named = found["services"].as_array().into_iter().flatten();
        if !named.into_iter().any(|one| one == service) {
            wrong.push(format!("reflection does not name {service}: {}", found["services"]));
        }
    }
    // 64-bit numbers are texts in protobuf's JSON.
    let joined = |paths: &Value| -> u64 {
        let paths = paths.as_array().into_iter().flatten();
        let number = |one: &Value| one.as_u64().or_else(|| one.as_str()?.parse().ok());
        paths.filter_map(|path| number(&path["joined"])).sum()
    };
    let (read, shown) = (joined(&found["split"]["paths"]), joined(&split["paths"]));
    if read != shown || read == 0 {
        wrong.push(format!("by reflection {read} exchanges were joined, {shown} by xcloud split"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_quantile_is_the_middle_of_its_bucket() {
        let histogram = json!({"count": 10, "zero": 2, "buckets": [[1.0, 4.0, 3], [4.0, 16.0, 5]]});
        assert_eq!(middle(&histogram, 0.5), Some(2.0));
        assert_eq!(middle(&histogram, 0.51), Some(8.0));
        assert_eq!(middle(&histogram, 1.0), Some(8.0));
        assert_eq!(middle(&histogram, 0.1), None, "zero has no middle");
    }

    #[test]
    fn a_quantile_beyond_the_error_stated_is_wrong() {
        let point =
            json!({"unit": "s", "value": {"count": 1, "zero": 0, "buckets": [[0.01, 0.0104, 1]]}});
        let split = |ns: u64| json!({"count": 1, "p50_ns": ns});
        assert!(differ("x", &point, &split(10_200_000)).is_empty());
        assert_eq!(differ("x", &point, &split(10_600_000)).len(), 1);
        assert_eq!(differ("x", &point, &json!({"count": 2})).len(), 1);
    }

    #[test]
    fn what_is_not_there_is_wrong() {
        assert!(export(&json!({}), &json!({"paths": []})).len() >= 2);
        assert!(!reflected(&json!({"services": []}), &json!({})).is_empty());
    }
}
