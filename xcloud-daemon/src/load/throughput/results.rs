//! What the two ends tell each other after a test, in iperf3's names.

use serde_json::{Map, Value, json};

/// Most bytes of a client's results: 256 streams fit many times.
pub const MAX_BYTES: usize = 256 << 10;
/// Most bytes of a server's results, its report included.
pub const MAX_BYTES_WITH_REPORT: usize = 16 << 20;

/// What one end saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// Processor time in the test, in percent of one processor.
    pub cpu: Cpu,
    /// Whether retransmissions are counted by the sender; never where nothing is sent.
    pub has_retransmits: bool,
    /// The congestion control that was in use.
    pub congestion: Option<String>,
    /// Stream by stream.
    pub streams: Vec<StreamResult>,
    /// The server's report, if one was asked for.
    pub report: Option<Report>,
}

/// Processor time in percent of one processor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    /// In the program.
    pub user: f64,
    /// In the kernel for it.
    pub system: f64,
}

impl Cpu {
    /// Both.
    #[must_use]
    pub fn total(self) -> f64 {
        self.user + self.system
    }
}

/// A server's report.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Lines.
    Text(String),
    /// Of a server that prints JSON.
    Json(Value),
}

/// What one end saw of a stream, without the warm-up unless said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamResult {
    /// See [`super::plan::Plan::id`].
    pub id: u64,
    /// Sent or received.
    pub bytes: u64,
    /// Segments sent again; none at the receiver.
    pub retransmits: Option<u64>,
    /// Seconds.
    pub jitter: f64,
    /// Datagrams lost.
    pub errors: u64,
    /// Datagrams sent, or expected from the highest number.
    pub packets: u64,
    /// Seconds.
    pub end: f64,
}

/// As they are sent.
#[must_use]
pub fn encode(results: &Results) -> Value {
    let streams: Vec<_> = results.streams.iter().map(encode_stream).collect();
    let mut all = Map::new();
    let mut add = |name: &str, value: Value| drop(all.insert(name.into(), value));
    add("cpu_util_total", results.cpu.total().into());
    add("cpu_util_user", results.cpu.user.into());
    add("cpu_util_system", results.cpu.system.into());
    add("sender_has_retransmits", if results.has_retransmits { 1 } else { -1 }.into());
    if let Some(name) = &results.congestion {
        add("congestion_used", name.as_str().into());
    }
    match &results.report {
        Some(Report::Text(text)) => add("server_output_text", text.as_str().into()),
        Some(Report::Json(report)) => add("server_output_json", report.clone()),
        None => {}
    }
    add("streams", streams.into());
    all.into()
}

fn encode_stream(stream: &StreamResult) -> Value {
    // iperf3 takes what was omitted off the counters of datagrams; here that is done already.
    json!({
        "id": stream.id,
        "bytes": stream.bytes,
        "retransmits": stream.retransmits.map_or_else(|| json!(-1), |count| json!(count)),
        "jitter": stream.jitter,
        "errors": stream.errors,
        "omitted_errors": 0,
        "packets": stream.packets,
        "omitted_packets": 0,
        "start_time": 0,
        "end_time": stream.end,
    })
}

/// What a peer sent.
#[must_use]
pub fn decode(results: &Value) -> Results {
    let streams = results["streams"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = results["server_output_text"].as_str().map(|text| Report::Text(text.into()));
    Results {
        cpu: Cpu {
            user: finite(&results["cpu_util_user"]),
            system: finite(&results["cpu_util_system"]),
        },
        has_retransmits: results["sender_has_retransmits"].as_i64() == Some(1),
        congestion: results["congestion_used"].as_str().map(String::from),
        streams: streams.iter().map(decode_stream).collect(),
        report: text.or_else(|| results.get("server_output_json").cloned().map(Report::Json)),
    }
}

fn decode_stream(stream: &Value) -> StreamResult {
    let omitted = |name: &str, all: &str| whole(&stream[all]).saturating_sub(whole(&stream[name]));
    StreamResult {
        id: whole(&stream["id"]),
        bytes: whole(&stream["bytes"]),
        // -1 is also sent as 2^64 - 1.
        retransmits: stream["retransmits"].as_u64().filter(|count| *count < u64::MAX / 2),
        jitter: finite(&stream["jitter"]),
        errors: omitted("omitted_errors", "errors"),
        packets: omitted("omitted_packets", "packets"),
        end: finite(&stream["end_time"]),
    }
}

fn finite(value: &Value) -> f64 {
    value.as_f64().filter(|number| number.is_finite()).unwrap_or(0.0)
}

fn whole(value: &Value) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    value.as_u64().unwrap_or_else(|| finite(value) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_iperf3_sends_is_understood() {
        let sent = r#"{"cpu_util_total":3.87,"cpu_util_user":0.32,"cpu_util_system":3.54,
            "sender_has_retransmits":18446744073709551615,"congestion_used":"cubic","streams":[
            {"id":1,"bytes":26214400,"retransmits":18446744073709551615,"jitter":0.25,"errors":3,"packets":9,
             "start_time":0,"end_time":0.11176}]}"#;
        let got = decode(&serde_json::from_str(sent).expect("JSON"));
        assert!(!got.has_retransmits);
        assert_eq!(got.congestion.as_deref(), Some("cubic"));
        let stream = StreamResult {
            id: 1,
            bytes: 26_214_400,
            jitter: 0.25,
            errors: 3,
            packets: 9,
            end: 0.11176,
            ..StreamResult::default()
        };
        assert_eq!(got.streams, [stream]);
    }

    #[test]
    fn what_was_omitted_is_taken_off() {
        let stream =
            json!({"errors": 5, "omitted_errors": 2, "packets": 100, "omitted_packets": 30});
        let got = decode_stream(&stream);
        assert_eq!((got.errors, got.packets), (3, 70));
    }

    proptest! {
        #[test]
        fn results_survive_the_wire(bytes in 0..1_u64 << 60, retransmits in proptest::option::of(0..1_u64 << 40)) {
            let stream = StreamResult { id: 4, bytes, retransmits, jitter: 0.5, errors: 1, packets: 2, end: 10.5 };
            let results = Results {
                has_retransmits: true,
                congestion: Some("bbr".into()),
                streams: vec![stream],
                report: Some(Report::Text("lines".into())),
                ..Results::default()
            };
            prop_assert_eq!(decode(&encode(&results)), results);
        }

        #[test]
        fn garbage_is_zero(text in "[\\[\\]{}\":,0-9a-z]{0,60}") {
            if let Ok(value) = serde_json::from_str(&text) {
                let inside = json!({ "streams": value, "cpu_util_user": value });
                prop_assert!(decode(&value).cpu.user.is_finite());
                prop_assert!(decode(&inside).cpu.user.is_finite());
            }
        }
    }
}
