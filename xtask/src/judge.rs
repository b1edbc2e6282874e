//! Holds what `xcloud split -o json` says against what a scenario expects.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::scenario::{Move, PodsSeen, Scenario};

/// The same run before and after the one that is looked at. What a figure differs by between the two is noise of this
/// machine, and is allowed on top; with one run as both, none is.
pub(crate) struct Baselines {
    pub(crate) before: Value,
    pub(crate) after: Value,
}

/// Precision asked of every segment: this much, and a hundredth of what was injected.
const TOLERANCE_NS: f64 = 50_000.0;
const TOLERANCE_SHARE: f64 = 0.01;

impl Scenario {
    /// What is wrong with the answers of `xcloud split -o json` by themselves; empty when nothing is.
    pub(crate) fn judge(&self, change: &Value) -> Vec<String> {
        let mut wrong = self.complete(change);
        for path in paths(change).filter(|path| self.looked_at(path)) {
            wrong.extend(tail_adds_up(path));
            wrong.extend(self.known_values(path));
            wrong.extend(self.enough_joined(path));
        }
        wrong.extend(nothing_vanished(change, self.pods == Some(PodsSeen::Hidden)));
        wrong.extend(self.pods.and_then(|wanted| seen_elsewhere(wanted, change)));
        wrong
    }

    /// What moved from the baselines otherwise than expected, by figure.
    pub(crate) fn misplaced(
        &self,
        Baselines { before, after }: &Baselines,
        change: &Value,
    ) -> BTreeMap<String, String> {
        paths(change)
            .filter(|path| self.looked_at(path))
            .filter_map(|path| {
                Some(self.movements([same_path(before, path)?, same_path(after, path)?], path))
            })
            .flatten()
            .collect()
    }

    fn looked_at(&self, path: &Value) -> bool {
        let kind = path["kind"].as_str().unwrap_or_default();
        self.kinds.iter().any(|k| k == kind) && self.paths.contains(&name(path))
    }

    /// Every path and kind asked for is there.
    fn complete(&self, split: &Value) -> Vec<String> {
        let wanted = self.paths.iter().flat_map(|path| {
            let kinds = self.kinds.iter();
            kinds.map(move |kind| (path.as_str(), kind.as_str()))
        });
        let there = |path: &str, kind: &str| {
            paths(split).any(|p| name(p) == path && p["kind"] == kind && p["joined"] != 0)
        };
        wanted
            .filter(|(path, kind)| !there(path, kind))
            .map(|(path, kind)| format!("{path} {kind}: nothing was measured"))
            .collect()
    }

    fn enough_joined(&self, path: &Value) -> Option<String> {
        if self.joined == 0.0 {
            return None;
        }
        let ratio = joined_ratio(path);
        let too_few = ratio.is_none_or(|ratio| ratio < self.joined);
        too_few.then(|| {
            let got = ratio.map_or_else(|| "unknown".into(), |r| format!("{r:.4}"));
            format!("{}: share joined is {got}, wanted {}", title(path), self.joined)
        })
    }

    fn known_values(&self, path: &Value) -> Vec<String> {
        let here = self.is.iter().filter(|is| is.path == name(path));
        here.flat_map(|is| {
            let wanted = nanoseconds(is.time);
            let unevenness = self.within.map_or(0.0, nanoseconds);
            ["p50_ns", "mean_ns"].into_iter().filter_map(move |figure| {
                let value = path["segments"][&is.segment][figure].as_f64();
                off(value, wanted, wanted, unevenness)
                    .map(|text| format!("{} {} {figure}: {text}", title(path), is.segment))
            })
        })
        .collect()
    }

    /// Compares every segment with the baselines'.
    fn movements(&self, baselines: [&Value; 2], path: &Value) -> Vec<(String, String)> {
        let segments = path["segments"].as_object().into_iter().flatten();
        let mut wrong = Vec::new();
        for (segment, value) in segments {
            if self.is_excused(path, segment) {
                continue;
            }
            let wanted = self.wanted_move(path, segment);
            for figure in ["p50_ns", "mean_ns"] {
                let [first, second] =
                    baselines.map(|b| b["segments"][segment][figure].as_f64().unwrap_or(0.0));
                let moved = value[figure].as_f64().map(|new| new - f64::midpoint(first, second));
                if let Some(text) = off(moved, wanted, wanted, (first - second).abs()) {
                    let figure = format!("{} {segment} {figure}", title(path));
                    wrong.push((figure.clone(), format!("{figure} moved: {text}")));
                }
            }
        }
        wrong
    }

    fn wanted_move(&self, path: &Value, segment: &str) -> f64 {
        let here = |m: &&Move| m.path == name(path) && m.segment == segment;
        let all = self.moves.iter().filter(here);
        all.map(|m| nanoseconds(m.by)).sum()
    }

    fn is_excused(&self, path: &Value, segment: &str) -> bool {
        self.may_move.iter().any(|may| {
            may.path == name(path) && may.segment == segment && path["kind"] == may.kind.as_str()
        })
    }
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// Says how `value` differs from `wanted`, if by more than the tolerance for a delay of `injected` and the `noise`.
fn off(value: Option<f64>, wanted: f64, injected: f64, noise: f64) -> Option<String> {
    let Some(value) = value else {
        return Some("missing".into());
    };
    let allowed = TOLERANCE_NS + TOLERANCE_SHARE * injected.abs() + noise;
    ((value - wanted).abs() > allowed).then(|| {
        let us = |ns: f64| ns / 1000.0;
        format!(
            "{:.1} us instead of {:.1} us (allowed: {:.1} us off, {:.1} of them noise)",
            us(value),
            us(wanted),
            us(allowed),
            us(noise)
        )
    })
}

fn paths(split: &Value) -> impl Iterator<Item = &Value> {
    split["paths"].as_array().into_iter().flatten()
}

fn same_path<'a>(split: &'a Value, path: &Value) -> Option<&'a Value> {
    paths(split).find(|other| name(other) == name(path) && other["kind"] == path["kind"])
}

/// `aws>gcp`.
fn name(path: &Value) -> String {
    let cloud = |end: &str| path[end]["cloud"].as_str().unwrap_or("?").to_owned();
    format!("{}>{}", cloud("near"), cloud("far"))
}

fn title(path: &Value) -> String {
    format!("{} {}", name(path), path["kind"].as_str().unwrap_or("?"))
}

/// Share of the exchanges selected at both ends that were joined.
pub(crate) fn joined_ratio(path: &Value) -> Option<f64> {
    path["joined_ratio"]
        .as_f64()
        .or_else(|| Some(path["joined"].as_f64()? / path["exchanges"].as_f64()?))
}

/// The tail's parts must sum to its total, to the nanosecond.
fn tail_adds_up(path: &Value) -> Option<String> {
    let tail = path["tail"].as_object()?;
    let part = |name: &str| tail.get(name).and_then(Value::as_u64).unwrap_or(0);
    let parts = ["cni_ns", "queue_ns", "wan_ns", "pod_ns", "beyond_uplink_ns"];
    let sum: u64 = parts.into_iter().map(part).sum();
    let total = part("total_ns");
    (sum != total).then(|| {
        format!("{}: the tail's parts sum to {sum} ns, its total is {total} ns", title(path))
    })
}

/// The report says where pods are seen instead, and shows nothing of those not seen in full.
fn seen_elsewhere(wanted: PodsSeen, split: &Value) -> Option<String> {
    let place = match wanted {
        PodsSeen::Inside => "inside",
        PodsSeen::Sockets => "sockets",
        PodsSeen::Hidden => "hidden",
    };
    let pods = split["pods"].as_array().map_or(&[][..], Vec::as_slice);
    let right = |pod: &Value| pod["place"] == place && pod["why"] != "";
    if pods.len() < 2 || !pods.iter().all(right) {
        return Some(format!("wanted the pods {wanted:?}, the report says {}", split["pods"]));
    }
    let shown =
        paths(split).find(|path| path["segments"].as_object().is_some_and(|s| !s.is_empty()));
    shown
        .filter(|_| wanted == PodsSeen::Hidden)
        .map(|path| format!("{}: figures of hidden pods", title(path)))
}

/// emitted = delivered + lost + pending (+ what an earlier aggregator took with it), exactly.
fn nothing_vanished(split: &Value, may_be_nothing: bool) -> Option<String> {
    let loss = &split["loss"];
    let number = |name: &str| loss[name].as_u64().unwrap_or(0);
    let lost = loss["lost"].as_object().into_iter().flatten();
    let lost: u64 = lost.filter_map(|(_, count)| count.as_u64()).sum();
    let known = number("delivered") + lost + number("pending") + number("earlier");
    let emitted = number("emitted");
    let fine = emitted == known && (emitted > 0 || may_be_nothing) && number("pending") == 0;
    (!fine).then(|| format!("the books do not balance: {loss}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn split(egress: u64, wan: u64) -> Value {
        let path = |near: &str, far: &str, kind: &str| {
            json!({
                "near": {"cloud": near}, "far": {"cloud": far}, "kind": kind,
                "exchanges": 100, "joined": 99,
                "segments": {
                    "near_cni_egress": {"p50_ns": egress, "mean_ns": egress},
                    "wan": {"p50_ns": wan, "mean_ns": wan},
                },
                "tail": {"total_ns": 10, "cni_ns": 1, "queue_ns": 2, "wan_ns": 3, "pod_ns": 4},
            })
        };
        json!({
            "paths": [path("aws", "gcp", "ack"), path("gcp", "aws", "ack"),
                      path("aws", "gcp", "response"), path("gcp", "aws", "response")],
            "loss": {"emitted": 10, "delivered": 7, "lost": {"ring": 1, "join": 2}, "pending": 0},
        })
    }

    fn scenario(text: &str) -> Scenario {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_segment_that_moves_as_told_is_right() {
        let told = scenario(
            "about = ''\njoined = 0.95\n\
             moves = [{path='aws>gcp', segment='near_cni_egress', by='2ms'},\n\
                      {path='gcp>aws', segment='near_cni_egress', by='2ms'}]",
        );
        let calm = Baselines { before: split(5_000, 40_000_000), after: split(5_000, 40_000_000) };
        assert!(told.misplaced(&calm, &split(2_070_000, 40_000_000)).is_empty());
        assert_eq!(told.misplaced(&calm, &split(2_080_000, 40_000_000)).len(), 8);
        let wan_too = split(2_005_000, 40_060_000);
        assert_eq!(told.misplaced(&calm, &wan_too).len(), 8);
        let noisy = Baselines { after: split(5_000, 40_040_000), ..calm };
        assert!(told.misplaced(&noisy, &wan_too).is_empty());
    }

    #[test]
    fn figures_of_hidden_pods_are_found() {
        let told = scenario("about = ''\npods = 'hidden'\npaths = []");
        let mut says = split(1, 1);
        assert_eq!(told.judge(&says).len(), 1, "no pod is said to be hidden");
        let pod = json!({"place": "hidden", "why": "it is"});
        says["pods"] = json!([pod, pod]);
        assert_eq!(told.judge(&says).len(), 1, "figures are shown");
        says["paths"] = json!([]);
        assert!(told.judge(&says).is_empty());
        let inside = scenario("about = ''\npods = 'inside'\npaths = []");
        assert_eq!(inside.judge(&says).len(), 1);
    }

    #[test]
    fn holes_are_found() {
        let told = scenario("about = ''\njoined = 0.95");
        let mut bad = split(1, 1);
        bad["paths"][0]["tail"]["pod_ns"] = json!(5);
        bad["paths"][1]["joined"] = json!(50);
        bad["loss"]["delivered"] = json!(6);
        bad["paths"].as_array_mut().unwrap().truncate(3);
        assert_eq!(told.judge(&bad).len(), 4);
    }
}
