//! For people.

use std::fmt::Write as _;

use super::{
    Loss, Path, Place, Pod, Report, Tail, Times, Unjoined,
    style::{bold, clean, dim, end, grouped, percent, place, time},
};

const COLUMNS: [&str; 6] = ["p50", "p90", "p99", "p99.9", "max", "mean"];

/// The report as text, a block a path and kind.
#[must_use]
pub fn table(report: &Report, color: bool) -> String {
    let mut text = String::new();
    for path in &report.paths {
        block(&mut text, path, color);
        text.push('\n');
    }
    if report.paths.is_empty() {
        text.push_str("no exchanges in this range: `xcloud observe` shows whether any come\n\n");
    }
    let mut footer: String = report.pods.iter().map(|pod| elsewhere(pod) + "\n").collect();
    footer += &losses(&report.loss);
    if let (Some(start), Some(end)) = (&report.start, &report.end) {
        let _ = write!(footer, "\nfrom {} to {}", clean(start), clean(end));
    }
    if let Some(oldest) = &report.oldest_available {
        let _ = write!(footer, "; data goes back to {}", clean(oldest));
    }
    for line in footer.lines() {
        text.push_str(&dim(line, color));
        text.push('\n');
    }
    text
}

/// Where a pod is seen, and why there.
pub(crate) fn elsewhere(pod: &Pod) -> String {
    let what = match pod.place {
        Place::Inside => "hooked inside the pod",
        Place::Sockets => "seen at the pod's TCP sockets, without handshakes",
        Place::Hidden => "the pod side is not visible, so nothing of this pod is shown",
    };
    format!("{}, {}: {what}: {}", place(&pod.site), clean(&pod.interface), clean(&pod.why))
}

fn block(text: &mut String, path: &Path, color: bool) {
    let _ = writeln!(text, "{}", bold(&heading(path), color));
    if path.total.count == 0 {
        text.push_str("  none was joined\n");
        return;
    }
    figures(text, path, color);
    if path.far.is_some() {
        let _ = writeln!(text, "  {}", dim(&doubt(path), color));
        if path.unjoined != Unjoined::default() {
            let _ = writeln!(text, "  {}", dim(&unjoined(&path.unjoined), color));
        }
    }
}

/// A row for the total and one for each segment, and what the tail is made of.
pub fn figures(text: &mut String, path: &Path, color: bool) {
    let columns = COLUMNS.map(|name| format!("{name:>9}")).concat();
    let _ = writeln!(text, "  {}", dim(&format!("{:<17}{columns}", ""), color));
    let _ = writeln!(text, "  {}", bold(&row("total", &path.total), color));
    for (name, times) in &path.segments {
        let _ = writeln!(text, "  {}", row(&words(name), times));
    }
    if let Some(tail) = &path.tail {
        let _ = writeln!(text, "  {}", bold(&make_up(tail), color));
    }
}

/// What became of exchanges that were not joined.
pub(crate) fn unjoined(why: &Unjoined) -> String {
    let causes = [
        (why.near_alone, "seen by the near end alone"),
        (why.thinned, "not selected at the far end"),
        (why.far_alone, "seen by the far end alone"),
        (why.other_answer, "whose first answer was lost"),
    ];
    let causes: Vec<_> = causes
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, cause)| format!("{} {cause}", grouped(*count)))
        .collect();
    format!("not joined: {}", causes.join(", "))
}

/// Which path, and how much of it was seen.
pub(crate) fn heading(path: &Path) -> String {
    let far = match (&path.far, &path.destination_site) {
        (Some(far), _) => end(far, path.far_workload.as_ref()),
        (None, Some(site)) => format!("beyond the uplink, at {}", place(site)),
        (None, None) => "beyond the uplink".into(),
    };
    let near = end(&path.near, path.near_workload.as_ref());
    let mut heading = format!("{near} -> {far}: {}, {}", path.kind, exchanges(path.exchanges));
    if path.far.is_some() {
        let _ = write!(heading, ", {} joined", percent(path.joined_ratio));
    } else {
        heading.push_str(", no far node seen");
    }
    if path.sampled_ratio < 1.0 {
        let _ = write!(heading, ", {} of the traffic sampled", percent(path.sampled_ratio));
    }
    heading
}

fn row(name: &str, times: &Times) -> String {
    let figures =
        [times.p50_ns, times.p90_ns, times.p99_ns, times.p999_ns, times.max_ns, times.mean_ns];
    format!("{name:<17}{}", figures.map(|ns| format!("{:>9}", time(ns))).concat())
}

/// A segment's name for people.
pub(crate) fn words(segment: &str) -> String {
    segment.replace("cni", "CNI").replace("wan", "WAN").replace('_', " ")
}

fn exchanges(count: u64) -> String {
    format!("{} {}", grouped(count), if count == 1 { "exchange" } else { "exchanges" })
}

/// What the tail is made of, every figure to the nanosecond, so that anyone can add them up.
pub(crate) fn make_up(tail: &Tail) -> String {
    let (unit, divisor, digits) =
        if tail.total_ns < 1_000_000 { ("us", 1_000, 3) } else { ("ms", 1_000_000, 6) };
    let exact = |ns: i64| {
        let (sign, ns) = (if ns < 0 { "-" } else { "" }, ns.unsigned_abs());
        format!("{sign}{}.{:0digits$}", ns / divisor, ns % divisor)
    };
    let signed = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
    let groups = [
        ("CNI", signed(tail.cni_ns)),
        ("queue", signed(tail.queue_ns)),
        ("WAN", tail.wan_ns),
        ("pod", signed(tail.pod_ns)),
        ("beyond uplink", signed(tail.beyond_uplink_ns)),
        ("unknown", tail.unattributed_ns),
    ];
    let parts: Vec<_> = groups
        .into_iter()
        .filter(|(_, ns)| *ns != 0)
        .map(|(name, ns)| format!("{} {name}", exact(ns)))
        .collect();
    format!(
        "p{} = {} {unit} = {} ({})",
        // 0.999 * 100 is not quite 99.9.
        (tail.quantile * 1e6).round() / 1e4,
        exact(signed(tail.total_ns)),
        parts.join(" + "),
        exchanges(tail.exchanges)
    )
}

/// How far clocks can be wrong.
pub(crate) fn doubt(path: &Path) -> String {
    let mut doubt = format!("clocks put at most {} into the WAN", time(path.clock_error_ns));
    if path.negative_wan > 0 {
        let _ = write!(doubt, "; {} below zero counted as zero", exchanges(path.negative_wan));
    }
    doubt
}

fn losses(loss: &Loss) -> String {
    let reasons: Vec<_> = loss
        .lost
        .reasons()
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{} {name}", grouped(count)))
        .collect();
    let mut text = format!(
        "observations: {} emitted = {} delivered + {} lost",
        grouped(loss.emitted),
        grouped(loss.delivered),
        grouped(loss.lost.sum())
    );
    if !reasons.is_empty() {
        let _ = write!(text, " ({})", reasons.join(", "));
    }
    let _ = write!(text, " + {} under way", grouped(loss.pending));
    if loss.earlier > 0 {
        let _ = write!(text, " + {} delivered elsewhere", grouped(loss.earlier));
    }
    text
}
