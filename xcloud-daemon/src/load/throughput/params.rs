//! What the client says it wants, in iperf3's names. A peer's JSON is read by hand: what is absent or of another kind is
//! zero, as it is for iperf3.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::plan::{Direction, Fault, Plan, Protocol};

/// Most bytes of parameters, as in iperf3.
pub const MAX_BYTES: usize = 8192;

/// A plan as it is sent.
#[must_use]
pub fn encode(plan: &Plan) -> Value {
    let mut all = Map::new();
    let mut add = |name: &str, value: Value| drop(all.insert(name.into(), value));
    add(if plan.protocol == Protocol::Tcp { "tcp" } else { "udp" }, true.into());
    add("omit", plan.omit.as_secs().into());
    add("time", if plan.bytes.is_some() { 0.into() } else { plan.time.as_secs().into() });
    add("num", plan.bytes.unwrap_or(0).into());
    add("blockcount", 0.into());
    add("parallel", plan.streams.into());
    add("len", plan.length.into());
    add("pacing_timer", 1000.into());
    add("client_version", env!("CARGO_PKG_VERSION").into());
    let options: [(&str, bool, Value); 13] = [
        ("reverse", plan.direction == Direction::Reverse, true.into()),
        ("bidirectional", plan.direction == Direction::Both, true.into()),
        ("window", plan.window.is_some(), json!(plan.window)),
        ("bandwidth", plan.rate.is_some(), json!(plan.rate)),
        ("burst", plan.burst > 1, plan.burst.into()),
        ("MSS", plan.mss.is_some(), json!(plan.mss)),
        ("nodelay", plan.no_delay, true.into()),
        ("TOS", plan.tos > 0, plan.tos.into()),
        ("congestion", plan.congestion.is_some(), json!(plan.congestion)),
        ("zerocopy", plan.zero_copy, 1.into()),
        ("skip_rx_copy", plan.skip_receive_copy, 1.into()),
        ("get_server_output", plan.server_output, 1.into()),
        ("udp_counters_64bit", plan.wide_counters, 1.into()),
    ];
    for (name, given, value) in options {
        if given {
            add(name, value);
        }
    }
    all.into()
}

/// The plan in what a client sent.
///
/// # Errors
/// It is out of range, or asks for what is not built.
pub fn decode(params: &Value) -> Result<Plan, Refused> {
    if truth(params, "sctp") || truth(params, "mptcp") {
        return Err(Refused::Protocol);
    }
    let plan = unchecked(params);
    plan.check().map_err(Refused::Fault)?;
    Ok(plan)
}

fn unchecked(params: &Value) -> Plan {
    let given = |name| Some(whole(params, name)).filter(|value| *value > 0);
    let length = whole(params, "len");
    let blocks = given("blockcount").map(|blocks| blocks.saturating_mul(length));
    Plan {
        protocol: if truth(params, "udp") { Protocol::Udp } else { Protocol::Tcp },
        direction: if truth(params, "bidirectional") {
            Direction::Both
        } else if truth(params, "reverse") {
            Direction::Reverse
        } else {
            Direction::Forward
        },
        streams: usize::try_from(given("parallel").unwrap_or(1)).unwrap_or(usize::MAX),
        length: usize::try_from(length).unwrap_or(usize::MAX),
        time: Duration::from_secs(whole(params, "time")),
        omit: Duration::from_secs(whole(params, "omit")),
        bytes: given("num").or(blocks),
        rate: given("bandwidth"),
        burst: u32::try_from(whole(params, "burst").clamp(1, 1000)).unwrap_or(1),
        window: given("window").map(|window| usize::try_from(window).unwrap_or(usize::MAX)),
        mss: given("MSS").map(|mss| u32::try_from(mss).unwrap_or(u32::MAX)),
        no_delay: truth(params, "nodelay"),
        congestion: text(params, "congestion"),
        tos: u8::try_from(whole(params, "TOS")).unwrap_or(0),
        zero_copy: truth(params, "zerocopy"),
        skip_receive_copy: truth(params, "skip_rx_copy"),
        wide_counters: truth(params, "udp_counters_64bit"),
        server_output: truth(params, "get_server_output"),
    }
}

/// Why a client's wish is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The plan makes no sense.
    Fault(Fault),
    /// Neither TCP nor UDP.
    Protocol,
    /// Longer than the server allows.
    Duration,
    /// More bytes than the server allows.
    Bytes,
}

/// iperf3's numbers for [`Refused`].
const CODES: [(Refused, i32); 7] = [
    (Refused::Duration, 5),
    (Refused::Fault(Fault::Streams), 6),
    (Refused::Fault(Fault::Window), 8),
    (Refused::Fault(Fault::Mss), 10),
    (Refused::Fault(Fault::Omit), 12),
    (Refused::Protocol, 13),
    (Refused::Bytes, 27),
];

impl Refused {
    /// The number by which iperf3 tells its user.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Fault(Fault::Time | Fault::Endless) => 5,
            Self::Fault(Fault::Length { .. }) => 7,
            _ => CODES.iter().find(|(why, _)| *why == self).map_or(13, |(_, code)| *code),
        }
    }

    /// What a server means by its number.
    #[must_use]
    pub fn explain(code: i32) -> String {
        let what = match code {
            5 => "the test is longer than the server allows: shorten --time and --omit",
            6 => "too many streams: lower --parallel",
            7 | 20 => "the server does not take this --length",
            8 | 124 | 141 => "the server does not take this --window",
            10 | 123 => "the server does not take this --set-mss",
            12 => "the server does not take this --omit",
            27 => "more traffic than the server allows: lower --bytes, --time or --bitrate",
            134 => "the server's kernel does not have this --congestion",
            142 => "the server wants a user and a password, which xcloud does not send",
            _ => return format!("the server cannot do this test (iperf3's error {code})"),
        };
        format!("refused: {what}")
    }
}

fn whole(params: &Value, name: &str) -> u64 {
    let number = params.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    {
        number as u64
    }
}

fn truth(params: &Value, name: &str) -> bool {
    params.get(name).and_then(Value::as_bool).unwrap_or_else(|| whole(params, name) > 0)
}

fn text(params: &Value, name: &str) -> Option<String> {
    params.get(name).and_then(Value::as_str).map(String::from)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) fn plan() -> Plan {
        Plan {
            protocol: Protocol::Tcp,
            direction: Direction::Forward,
            streams: 1,
            length: 131_072,
            time: Duration::from_secs(10),
            omit: Duration::ZERO,
            bytes: None,
            rate: None,
            burst: 1,
            window: None,
            mss: None,
            no_delay: false,
            congestion: None,
            tos: 0,
            zero_copy: false,
            skip_receive_copy: false,
            wide_counters: false,
            server_output: false,
        }
    }

    #[test]
    fn what_iperf3_sends_is_understood() {
        let sent = r#"{"tcp":true,"omit":1,"time":0,"num":52428800,"blockcount":0,"MSS":1400,"nodelay":true,
            "parallel":2,"window":409600,"len":131072,"pacing_timer":1000,"TOS":8,"congestion":"cubic",
            "repeating_payload":1,"zerocopy":1,"client_version":"3.12"}"#;
        let expected = Plan {
            streams: 2,
            time: Duration::ZERO,
            omit: Duration::from_secs(1),
            bytes: Some(52_428_800),
            window: Some(409_600),
            mss: Some(1400),
            no_delay: true,
            congestion: Some("cubic".into()),
            tos: 8,
            zero_copy: true,
            ..plan()
        };
        assert_eq!(decode(&serde_json::from_str(sent).expect("JSON")), Ok(expected));
    }

    #[test]
    fn what_is_out_of_range_is_refused_with_iperf3s_number() {
        let refused = |mut params: Value, name: &str, value: Value| {
            params[name] = value;
            decode(&params).expect_err("refused").code()
        };
        let good = encode(&plan());
        assert_eq!(refused(good.clone(), "parallel", 129.into()), 6);
        assert_eq!(refused(good.clone(), "len", 0.into()), 7);
        assert_eq!(refused(good.clone(), "len", (1_u64 << 40).into()), 7);
        assert_eq!(refused(good.clone(), "time", 0.into()), 5);
        assert_eq!(refused(good.clone(), "time", 1e300.into()), 5);
        assert_eq!(refused(good.clone(), "omit", 601.into()), 12);
        assert_eq!(refused(good.clone(), "MSS", 3.into()), 10);
        assert_eq!(refused(good, "sctp", true.into()), 13);
        assert!(decode(&Value::Null).is_err());
    }

    proptest! {
        #[test]
        fn a_plan_survives_the_wire(
            direction in prop_oneof![Just(Direction::Forward), Just(Direction::Reverse), Just(Direction::Both)],
            streams in 1..=128_usize,
            bytes in proptest::option::of(1..1_u64 << 50),
            rate in proptest::option::of(1..1_u64 << 40),
            flags: [bool; 5],
            udp: bool,
        ) {
            let [no_delay, zero_copy, skip_receive_copy, wide_counters, server_output] = flags;
            let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
            let time = if bytes.is_some() { Duration::ZERO } else { Duration::from_secs(10) };
            let plan = Plan {
                protocol, direction, streams, bytes, rate, no_delay, zero_copy, skip_receive_copy, wide_counters,
                server_output, length: 1460, time, ..plan()
            };
            prop_assert_eq!(decode(&encode(&plan)), Ok(plan));
        }

        #[test]
        fn garbage_is_refused_or_checked(values: Vec<f64>, names in "[a-z]{0,8}") {
            let mut params = json!({ names: 1 });
            for (name, value) in ["len", "time", "num", "parallel", "MSS", "TOS", "burst"].iter().zip(values) {
                params[*name] = value.into();
            }
            if let Ok(plan) = decode(&params) {
                prop_assert_eq!(plan.check(), Ok(()));
            }
        }
    }
}
