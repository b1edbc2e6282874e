//! Endpoints and tests for people and programs. No I/O.

use anyhow::{Context as _, Result};
use serde::Serialize;
use xcloud_proto::loadtest::v1::{LoadEndpoint, LoadTest, LoadTestState, Network};

use super::super::spec::Spec;
use crate::{
    cli::Output,
    escape::{self, clean},
    report::{columns::columns, json::json},
    wire::answer::{address, nanoseconds},
};

/// An endpoint as programs see it.
#[derive(Serialize)]
struct EndpointRow {
    name: String,
    cloud: String,
    region: String,
    zone: String,
    node: String,
    network: &'static str,
    address: String,
    version: String,
}

/// A test as programs see it.
#[derive(Serialize)]
struct TestRow {
    id: String,
    name: String,
    kind: &'static str,
    from: String,
    to: String,
    duration_s: f64,
    state: String,
    error: String,
    estimate: String,
    created: String,
    ended: String,
    has_result: bool,
}

impl EndpointRow {
    fn new(one: &LoadEndpoint) -> Self {
        let site = one.site.clone().unwrap_or_default();
        Self {
            name: one.name.clone(),
            cloud: site.cloud,
            region: site.region,
            zone: site.zone,
            node: site.node,
            network: match one.network() {
                Network::Pod => "pod",
                Network::Host => "host",
                Network::Unspecified => "",
            },
            address: address(&one.address).map_or_else(String::new, |ip| ip.to_string()),
            version: one.version.clone(),
        }
    }

    fn cells(&self) -> [&str; 8] {
        [
            &self.name,
            &self.cloud,
            &self.region,
            &self.zone,
            &self.node,
            self.network,
            &self.address,
            &self.version,
        ]
    }
}

impl TestRow {
    fn new(test: &LoadTest) -> Self {
        let wire = test.spec.clone().unwrap_or_default();
        let spec = Spec::read(&wire).ok();
        let time = |time: &Option<prost_types::Timestamp>| {
            let ns = time.as_ref().map(nanoseconds);
            let at = |ns| std::time::UNIX_EPOCH + std::time::Duration::from_nanos(ns);
            ns.map_or_else(String::new, |ns| humantime::format_rfc3339_seconds(at(ns)).to_string())
        };
        Self {
            id: test.id.clone(),
            kind: spec.as_ref().map_or("", |spec| spec.kind.name()),
            duration_s: spec.as_ref().map_or(0.0, |spec| spec.duration.as_secs_f64()),
            name: wire.name,
            from: wire.from,
            to: wire.to,
            state: state(test),
            error: test.error.clone(),
            estimate: test.estimate.clone().unwrap_or_default().text,
            created: time(&test.created),
            ended: time(&test.ended),
            has_result: test.has_result,
        }
    }

    fn cells(&self) -> [&str; 9] {
        [
            &self.id,
            &self.name,
            self.kind,
            &self.from,
            &self.to,
            &self.state,
            if self.has_result { "yes" } else { "no" },
            &self.created,
            &self.error,
        ]
    }
}

/// Endpoints.
pub(super) fn endpoints(all: &[LoadEndpoint], output: Output) -> Result<String> {
    let rows: Vec<_> = all.iter().map(EndpointRow::new).collect();
    let head = ["name", "cloud", "region", "zone", "node", "network", "address", "version"];
    match output {
        Output::Json => json(&rows),
        Output::Csv => csv(&head, rows.iter().map(EndpointRow::cells)),
        Output::Table if rows.is_empty() => {
            Ok("no endpoint is here: start some with `xcloud load endpoint`\n".into())
        }
        Output::Table => Ok(columns(&head, rows.iter().map(EndpointRow::cells))),
    }
}

/// Tests.
pub(super) fn tests(all: &[LoadTest], output: Output) -> Result<String> {
    let rows: Vec<_> = all.iter().map(TestRow::new).collect();
    let head = ["id", "name", "kind", "from", "to", "state", "result", "created", "error"];
    match output {
        Output::Json => json(&rows),
        Output::Csv => csv(&head, rows.iter().map(TestRow::cells)),
        Output::Table if rows.is_empty() => Ok("no test was made yet\n".into()),
        Output::Table => Ok(columns(&head, rows.iter().map(TestRow::cells))),
    }
}

/// How a test is, in a sentence.
pub(super) fn outcome(test: &LoadTest) -> String {
    let why = if test.error.is_empty() { String::new() } else { format!(": {}", test.error) };
    let kept = match test.state() {
        LoadTestState::Starting | LoadTestState::Running => "",
        _ if test.has_result => ", with a result",
        _ => ", without a result",
    };
    clean(&format!("load test {}: {}{kept}{why}", test.id, state(test)))
}

fn state(test: &LoadTest) -> String {
    test.state().as_str_name().trim_start_matches("LOAD_TEST_STATE_").to_lowercase()
}

fn csv<'a, const N: usize>(
    head: &[&str; N],
    rows: impl Iterator<Item = [&'a str; N]>,
) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(row.map(escape::csv))?;
    }
    Ok(String::from_utf8(writer.into_inner().context("writing to memory")?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::attendee::tests::hello;

    #[test]
    fn a_table_has_columns_and_cannot_steer_the_terminal() {
        let odd = LoadEndpoint { name: "b\u{1b}[31m".into(), ..hello("b", "gcp") };
        let text = endpoints(&[hello("first", "aws"), odd], Output::Table).expect("shown");
        let [head, one, other] = &text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert_eq!(head.find("CLOUD"), one.find("aws"), "{text}");
        assert!(one.contains("127.0.0.1") && !other.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn programs_read_stable_names() {
        let test = LoadTest { id: "1-a".into(), error: "why".into(), ..LoadTest::default() };
        let text = tests(&[test], Output::Json).expect("shown");
        let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&rows[0]["id"], &rows[0]["error"]), (&"1-a".into(), &"why".into()));
        let text = endpoints(&[hello("a", "aws")], Output::Csv).expect("shown");
        assert_eq!(text.lines().nth(1), Some("a,aws,r1,,node-a,pod,127.0.0.1,0.1.0"));
    }
}
