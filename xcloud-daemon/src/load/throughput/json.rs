//! Reports for programs, in the shape of iperf3's JSON.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    ledger::{Part, Span},
    outcome,
    plan::{Direction, Plan, Protocol},
    record::{Flow, Record, Setting, percent, rate},
    results::Report,
    text,
};

/// A whole report.
#[must_use]
pub fn whole(record: &Record) -> Value {
    let spans: Vec<_> = record.ledger.spans().iter().map(|s| span(&record.setting, s)).collect();
    let mut all =
        json!({ "start": start(&record.setting), "intervals": spans, "end": end(record) });
    let warnings = outcome::warnings(record);
    if !warnings.is_empty() {
        all["warnings"] = warnings.into();
    }
    match &record.peer.report {
        Some(Report::Text(text)) => all["server_output_text"] = text.as_str().into(),
        Some(Report::Json(report)) => all["server_output_json"] = report.clone(),
        None => {}
    }
    all
}

fn start(setting: &Setting) -> Value {
    let plan = &setting.plan;
    let connected = setting.connected.iter().enumerate().map(|(index, (local, remote))| {
        json!({
            "socket": Plan::id(index),
            "local_host": local.ip(),
            "local_port": local.port(),
            "remote_host": remote.ip(),
            "remote_port": remote.port(),
        })
    });
    let since = setting.started.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let name = if setting.is_client { "connecting_to" } else { "accepted_connection" };
    let mut all = json!({
        "connected": connected.collect::<Vec<_>>(),
        "version": format!("xcloud {}", env!("CARGO_PKG_VERSION")),
        "system_info": system_info(),
        "timestamp": {
            "time": humantime::format_rfc3339_seconds(setting.started).to_string(),
            "timesecs": since.as_secs(),
            "timemillisecs": u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        },
        name: { "host": setting.peer, "port": setting.port },
        "cookie": setting.cookie.to_string(),
        "target_bitrate": plan.rate.unwrap_or(0),
        "fq_rate": 0,
        "sock_bufsize": plan.window.unwrap_or(0),
        "sndbuf_actual": setting.buffers.0,
        "rcvbuf_actual": setting.buffers.1,
        "test_start": test_start(plan),
    });
    if plan.protocol == Protocol::Tcp {
        all["tcp_mss_default"] = setting.mss.into();
    }
    all
}

fn test_start(plan: &Plan) -> Value {
    json!({
        "protocol": plan.protocol.name(),
        "num_streams": plan.streams,
        "blksize": plan.length,
        "omit": plan.omit.as_secs(),
        "duration": if plan.bytes.is_some() { 0 } else { plan.time.as_secs() },
        "bytes": plan.bytes.unwrap_or(0),
        "blocks": 0,
        "reverse": u8::from(plan.direction == Direction::Reverse),
        "tos": plan.tos,
        "target_bitrate": plan.rate.unwrap_or(0),
        "bidir": u8::from(plan.direction == Direction::Both),
        "fqrate": 0,
    })
}

fn system_info() -> String {
    let words = nix::sys::utsname::uname().map(|name| {
        [name.sysname(), name.nodename(), name.release(), name.version(), name.machine()]
            .map(|word| word.to_string_lossy().into_owned())
            .join(" ")
    });
    words.unwrap_or_default()
}

/// What all objects of numbers have.
fn timed(start: Duration, end: Duration, bytes: u64) -> Map<String, Value> {
    let time = end.saturating_sub(start);
    let mut all = Map::new();
    all.insert("start".into(), start.as_secs_f64().into());
    all.insert("end".into(), end.as_secs_f64().into());
    all.insert("seconds".into(), time.as_secs_f64().into());
    all.insert("bytes".into(), bytes.into());
    all.insert("bits_per_second".into(), rate(bytes, time).into());
    all
}

fn add(all: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        all.extend(more);
    }
}

fn span(setting: &Setting, span: &Span) -> Value {
    let parts = span.parts.iter().enumerate().map(|(index, part)| {
        let mut all = Map::new();
        all.insert("socket".into(), Plan::id(index).into());
        all.extend(self::part(setting, span, part));
        all
    });
    let mut all = json!({ "streams": parts.collect::<Vec<_>>() });
    // At a server the sum of what it receives comes first, as in iperf3.
    let first = setting.plan.client_sends(0) == setting.is_client;
    for (name, sends) in [("sum", first), ("sum_bidir_reverse", !first)] {
        if let Some(sum) = text::sum(span, sends) {
            all[name] = part(setting, span, &sum).into();
        }
    }
    all
}

fn part(setting: &Setting, span: &Span, part: &Part) -> Map<String, Value> {
    let mut all = timed(span.start, span.end, part.bytes);
    match (setting.plan.protocol, part.sends) {
        (Protocol::Tcp, true) => {
            if let Some(count) = part.retransmits {
                add(&mut all, json!({ "retransmits": count }));
            }
            if let Some(tcp) = part.tcp {
                add(
                    &mut all,
                    json!({
                        "snd_cwnd": tcp.congestion_window,
                        "snd_wnd": tcp.send_window,
                        "rtt": tcp.rtt_us,
                        "rttvar": tcp.rtt_variation_us,
                        "pmtu": tcp.path_mtu,
                    }),
                );
            }
        }
        (Protocol::Tcp, false) => {}
        (Protocol::Udp, true) => add(&mut all, json!({ "packets": part.datagrams })),
        (Protocol::Udp, false) => add(&mut all, losses(part.jitter, part.lost, part.datagrams)),
    }
    add(&mut all, json!({ "omitted": span.omitted, "sender": part.sends }));
    all
}

fn losses(jitter: f64, lost: u64, expected: u64) -> Value {
    json!({
        "jitter_ms": jitter * 1e3,
        "lost_packets": lost,
        "packets": expected,
        "lost_percent": percent(lost, expected),
    })
}

fn end(record: &Record) -> Value {
    let setting = &record.setting;
    let is_tcp = setting.plan.protocol == Protocol::Tcp;
    let streams = record.flows();
    let streams = streams.iter().enumerate().map(|(index, flow)| {
        if is_tcp { tcp_stream(record, index, flow) } else { udp_stream(setting, index, flow) }
    });
    let mut all = json!({ "streams": streams.collect::<Vec<_>>() });
    let first = setting.plan.client_sends(0);
    for (from_client, suffix) in [(first, ""), (!first, "_bidir_reverse")] {
        let Some(sum) = record.sum(from_client) else {
            continue;
        };
        let sends = from_client == setting.is_client;
        all[format!("sum_sent{suffix}")] = sent(setting, &sum, sends).into();
        all[format!("sum_received{suffix}")] = received(setting, &sum, sends).into();
        if !is_tcp {
            all[format!("sum{suffix}")] = received(setting, &sum, sends).into();
        }
    }
    let (near, far) = (record.cpu(), record.peer.cpu);
    all["cpu_utilization_percent"] = json!({
        "host_total": near.total(),
        "host_user": near.user,
        "host_system": near.system,
        "remote_total": far.total(),
        "remote_user": far.user,
        "remote_system": far.system,
    });
    if is_tcp {
        let (near, far) = (&setting.congestion, &record.peer.congestion);
        let (sender, receiver) = if first == setting.is_client { (near, far) } else { (far, near) };
        all["sender_tcp_congestion"] = json!(sender);
        all["receiver_tcp_congestion"] = json!(receiver);
    }
    all
}

fn sent(setting: &Setting, flow: &Flow, sends: bool) -> Map<String, Value> {
    let mut all = timed(Duration::ZERO, flow.sent_time, flow.sent);
    if setting.plan.protocol == Protocol::Udp {
        add(&mut all, losses(0.0, 0, flow.datagrams_sent));
        add(&mut all, json!({ "sender": true }));
    } else {
        if let Some(count) = flow.retransmits {
            add(&mut all, json!({ "retransmits": count }));
        }
        add(&mut all, json!({ "sender": sends }));
    }
    all
}

fn received(setting: &Setting, flow: &Flow, sends: bool) -> Map<String, Value> {
    let mut all = timed(Duration::ZERO, flow.received_time, flow.received);
    if setting.plan.protocol == Protocol::Udp {
        add(&mut all, losses(flow.jitter, flow.lost, flow.datagrams));
    }
    let is_udp = setting.plan.protocol == Protocol::Udp;
    add(&mut all, json!({ "sender": sends && !is_udp }));
    all
}

fn tcp_stream(record: &Record, index: usize, flow: &Flow) -> Value {
    let sends = flow.from_client == record.setting.is_client;
    let seen = record.ledger.spans().iter().filter(|span| !span.omitted);
    let seen: Vec<_> = seen.filter_map(|span| span.parts.get(index)?.tcp).collect();
    let rtts = || seen.iter().map(|tcp| tcp.rtt_us);
    let count = u32::try_from(seen.len()).unwrap_or(u32::MAX).max(1);
    let mut sender = sent(&record.setting, flow, sends);
    add(
        &mut sender,
        json!({
            "socket": Plan::id(index),
            "max_snd_cwnd": seen.iter().map(|tcp| tcp.congestion_window).max().unwrap_or(0),
            "max_snd_wnd": seen.iter().map(|tcp| tcp.send_window).max().unwrap_or(0),
            "max_rtt": rtts().max().unwrap_or(0),
            "min_rtt": rtts().min().unwrap_or(0),
            "mean_rtt": rtts().map(u64::from).sum::<u64>() / u64::from(count),
        }),
    );
    let mut receiver = received(&record.setting, flow, sends);
    add(&mut receiver, json!({ "socket": Plan::id(index) }));
    json!({ "sender": sender, "receiver": receiver })
}

fn udp_stream(setting: &Setting, index: usize, flow: &Flow) -> Value {
    let sends = flow.from_client == setting.is_client;
    let mut all = received(setting, flow, sends);
    add(
        &mut all,
        json!({ "socket": Plan::id(index), "out_of_order": flow.out_of_order, "sender": sends }),
    );
    json!({ "udp": all })
}
