//! Reports for people, in the shape of iperf3's.

use std::{fmt::Write as _, time::Duration};

use super::{
    ledger::{Part, Span},
    outcome,
    plan::{Direction, Plan, Protocol},
    record::{Flow, Record, Setting, percent, rate},
};

const RULE: &str = "- - - - - - - - - - - - - - - - - - - - - - - - -\n";

/// The connections, and the head of the table.
#[must_use]
pub fn head(setting: &Setting) -> String {
    let mut text = String::new();
    if setting.is_client && setting.plan.direction == Direction::Reverse {
        let _ = writeln!(text, "Reverse mode, remote host {} is sending", setting.peer);
    }
    for (index, (local, remote)) in setting.connected.iter().enumerate() {
        let _ = writeln!(
            text,
            "[{:>3}] local {} port {} connected to {} port {}",
            Plan::id(index),
            local.ip(),
            local.port(),
            remote.ip(),
            remote.port()
        );
    }
    let client_view = setting.is_client == (setting.plan.direction != Direction::Reverse);
    let columns = match setting.plan.protocol {
        Protocol::Tcp if client_view || setting.plan.direction == Direction::Both => {
            "Retr  Cwnd        RTT"
        }
        Protocol::Tcp => "",
        Protocol::Udp if client_view && setting.plan.direction != Direction::Both => {
            "Total Datagrams"
        }
        Protocol::Udp => "Jitter    Lost/Total Datagrams",
    };
    let _ = writeln!(text, "{}{columns}", titles(&setting.plan));
    text
}

fn titles(plan: &Plan) -> String {
    let role = if plan.direction == Direction::Both { "[Role]" } else { "" };
    format!("[ ID]{role} Interval           Transfer     Bitrate         ")
}

/// An interval, stream by stream and together.
#[must_use]
pub fn span(setting: &Setting, span: &Span) -> String {
    let mut text = String::new();
    for (index, part) in span.parts.iter().enumerate() {
        text += &line(setting, &format!("{:>3}", Plan::id(index)), span, part);
    }
    if setting.plan.streams > 1 {
        for sends in [true, false] {
            if let Some(sum) = sum(span, sends) {
                text += &line(setting, "SUM", span, &sum);
            }
        }
        text += RULE;
    }
    text
}

/// All streams that this end sends or receives.
#[must_use]
pub fn sum(span: &Span, sends: bool) -> Option<Part> {
    let parts: Vec<_> = span.parts.iter().filter(|part| part.sends == sends).collect();
    let count = parts.len() as f64;
    let mut sum = parts.into_iter().copied().reduce(|sum, part| Part {
        sends,
        bytes: sum.bytes + part.bytes,
        datagrams: sum.datagrams + part.datagrams,
        lost: sum.lost + part.lost,
        out_of_order: sum.out_of_order + part.out_of_order,
        jitter: sum.jitter + part.jitter,
        retransmits: sum.retransmits.zip(part.retransmits).map(|(a, b)| a + b),
        tcp: None,
    })?;
    sum.jitter /= count;
    Some(sum)
}

fn line(setting: &Setting, id: &str, span: &Span, part: &Part) -> String {
    let begin = row(&setting.plan, id, role(setting, part.sends), span.start, span.end, part.bytes);
    let more = match (setting.plan.protocol, part.sends) {
        (Protocol::Tcp, true) => {
            let count = part.retransmits.map_or_else(String::new, |count| count.to_string());
            let tcp = part.tcp.map_or_else(String::new, |tcp| {
                format!("  {}  {:>6} us", binary(tcp.congestion_window), tcp.rtt_us)
            });
            format!("{count:>4}{tcp}")
        }
        (Protocol::Tcp, false) => String::new(),
        (Protocol::Udp, true) => part.datagrams.to_string(),
        (Protocol::Udp, false) => losses(part.jitter, part.lost, part.datagrams),
    };
    let omitted = if span.omitted { "  (omitted)" } else { "" };
    format!("{}{omitted}\n", format!("{begin}{more}").trim_end())
}

fn role(setting: &Setting, sends: bool) -> &'static str {
    match (setting.plan.direction == Direction::Both, sends, setting.is_client) {
        (false, _, _) => "",
        (true, true, true) => "[TX-C]",
        (true, false, true) => "[RX-C]",
        (true, true, false) => "[TX-S]",
        (true, false, false) => "[RX-S]",
    }
}

fn row(plan: &Plan, id: &str, role: &str, start: Duration, end: Duration, bytes: u64) -> String {
    let role = if plan.direction == Direction::Both { role } else { "" };
    let (start_s, end_s) = (start.as_secs_f64(), end.as_secs_f64());
    let speed = bits(rate(bytes, end.saturating_sub(start)));
    format!("[{id}]{role} {start_s:>6.2}-{end_s:<6.2} sec  {}  {speed}  ", binary(bytes))
}

fn losses(jitter: f64, lost: u64, expected: u64) -> String {
    format!("{:.3} ms  {lost}/{expected} ({:.2}%)", jitter * 1e3, percent(lost, expected))
}

/// What came out.
#[must_use]
pub fn summary(record: &Record) -> String {
    let setting = &record.setting;
    let columns = if setting.plan.protocol == Protocol::Tcp {
        "Retr"
    } else {
        "Jitter    Lost/Total Datagrams"
    };
    let mut text = format!("{RULE}{}{columns}\n", titles(&setting.plan));
    for (index, flow) in record.flows().iter().enumerate() {
        text += &both(setting, &format!("{:>3}", Plan::id(index)), flow);
    }
    if setting.plan.streams > 1 {
        for sum in [true, false].into_iter().filter_map(|from_client| record.sum(from_client)) {
            text += &both(setting, "SUM", &sum);
        }
    }
    let _ = writeln!(
        text,
        "CPU {} {:.1}% (user {:.1}%, system {:.1}%), {} {:.1}%",
        if setting.is_client { "client" } else { "server" },
        record.cpu().total(),
        record.cpu().user,
        record.cpu().system,
        if setting.is_client { "server" } else { "client" },
        record.peer.cpu.total()
    );
    for warning in outcome::warnings(record) {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn both(setting: &Setting, id: &str, flow: &Flow) -> String {
    let role = role(setting, flow.from_client == setting.is_client);
    let row = |time, bytes| row(&setting.plan, id, role, Duration::ZERO, time, bytes);
    let (sent, received) = if setting.plan.protocol == Protocol::Tcp {
        (flow.retransmits.map_or_else(String::new, |count| format!("{count:>4}")), String::new())
    } else {
        (losses(0.0, 0, flow.datagrams_sent), losses(flow.jitter, flow.lost, flow.datagrams))
    };
    format!(
        "{}{sent:<28} sender\n{}{received:<28} receiver\n",
        row(flow.sent_time, flow.sent),
        row(flow.received_time, flow.received)
    )
}

/// A whole report.
#[must_use]
pub fn whole(record: &Record) -> String {
    let spans: String = record.ledger.spans().iter().map(|s| span(&record.setting, s)).collect();
    head(&record.setting) + &spans + &summary(record)
}

/// Bytes, in units of 1024.
fn binary(bytes: u64) -> String {
    let (number, unit) = scaled(bytes as f64, 1024.0);
    format!("{number:>5} {unit}Bytes")
}

/// Bits per second, in units of 1000.
#[must_use]
pub fn bits(rate: f64) -> String {
    let (number, unit) = scaled(rate, 1000.0);
    format!("{number:>5} {unit}bits/sec")
}

/// Three significant digits and a prefix.
fn scaled(mut value: f64, base: f64) -> (String, &'static str) {
    let mut units = ["", "K", "M", "G", "T"].into_iter();
    let mut unit = units.next().unwrap_or("");
    while value >= base * 0.9995
        && let Some(next) = units.next()
    {
        value /= base;
        unit = next;
    }
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    (format!("{value:.decimals$}"), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(binary(131_072).trim(), "128 KBytes");
        assert_eq!(binary(1_073_741_823).trim(), "1.00 GBytes");
        assert_eq!(bits(9.4123e9).trim(), "9.41 Gbits/sec");
        assert_eq!(bits(999_999.0).trim(), "1.00 Mbits/sec");
        assert_eq!(bits(0.0).trim(), "0.00 bits/sec");
    }
}
