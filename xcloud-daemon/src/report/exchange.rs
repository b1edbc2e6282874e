//! Single exchanges as they happen, one line each.

use std::{fmt::Write as _, net::SocketAddr};

use anyhow::Result;
use serde::Serialize;
use xcloud_proto::{common::v1::Endpoint, observer::v1::Exchange as WireExchange};

use super::{
    Site, Workload,
    convert::{kind_name, rfc3339, segment_name},
    json::json_line,
    style::{end, signed_time, time},
};
use crate::{cli::Output, escape, measure::Segment, wire::answer};

/// A joined exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exchange {
    /// When it ended, RFC 3339.
    pub ended: String,
    /// Where the data was sent.
    pub near: Site,
    /// Where it was answered.
    pub far: Site,
    /// Whose the sending pod is; left out when not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near_workload: Option<Workload>,
    /// Whose the answering pod is, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub far_workload: Option<Workload>,
    /// The sending pod's end.
    pub source: String,
    /// The answering pod's end, as the sending pod addressed it.
    pub destination: String,
    /// Kind.
    pub kind: &'static str,
    /// Whole time in nanoseconds.
    pub total_ns: u64,
    /// Its parts in nanoseconds, in the order of travel; those not measured are left out.
    #[serde(serialize_with = "super::as_map")]
    pub segments: Vec<(&'static str, i64)>,
    /// Sequence number right after the data.
    pub end_sequence: u32,
    /// TSval of the data.
    pub timestamp_value: u32,
}

impl From<WireExchange> for Exchange {
    fn from(exchange: WireExchange) -> Self {
        Self {
            ended: rfc3339(&exchange.ended.unwrap_or_default()),
            kind: kind_name(exchange.kind()),
            near: exchange.near.unwrap_or_default().into(),
            far: exchange.far.unwrap_or_default().into(),
            near_workload: exchange.near_workload.map(Workload::from),
            far_workload: exchange.far_workload.map(Workload::from),
            source: endpoint(exchange.source.as_ref()),
            destination: endpoint(exchange.destination.as_ref()),
            total_ns: exchange.total_ns,
            segments: exchange
                .segments
                .iter()
                .map(|one| (segment_name(one.segment()), one.duration_ns))
                .collect(),
            end_sequence: exchange.end_sequence,
            timestamp_value: exchange.timestamp_value,
        }
    }
}

fn endpoint(endpoint: Option<&Endpoint>) -> String {
    let address = endpoint.and_then(|end| answer::address(&end.address));
    let port = endpoint.and_then(|end| u16::try_from(end.port).ok());
    address.zip(port).map_or_else(String::new, |(ip, port)| SocketAddr::new(ip, port).to_string())
}

/// Turns exchanges into lines of one format.
#[derive(Clone, Copy, Debug)]
pub struct Lines(pub Output);

impl Lines {
    /// What comes before the first exchange.
    ///
    /// # Errors
    /// None that is known; the writer could in theory fail.
    pub fn header(self) -> Result<String> {
        match self.0 {
            Output::Table | Output::Json => Ok(String::new()),
            Output::Csv => {
                let fixed = ["ended", "near_cloud", "near_region", "near_zone", "near_node"];
                let far = ["far_cloud", "far_region", "far_zone", "far_node"];
                let labels = ["source", "destination", "kind", "total_ns"];
                let names = Segment::ALL.map(|(segment, ..)| format!("{}_ns", segment.name()));
                let fixed = [&fixed[..], &far, &labels].concat();
                line(fixed.into_iter().map(str::to_owned).chain(names))
            }
        }
    }

    /// One exchange, with its line end.
    ///
    /// # Errors
    /// None that is known; the writer could in theory fail.
    pub fn exchange(self, exchange: &Exchange) -> Result<String> {
        match self.0 {
            Output::Table => Ok(text(exchange)),
            Output::Json => json_line(exchange),
            Output::Csv => line(cells(exchange)),
        }
    }
}

fn text(exchange: &Exchange) -> String {
    let Exchange { ended, near, far, source, destination, kind, total_ns, segments, .. } = exchange;
    let total = time(*total_ns);
    let near = end(near, exchange.near_workload.as_ref());
    let far = end(far, exchange.far_workload.as_ref());
    let mut text = format!("{ended} {near} {source} -> {far} {destination} {kind} {total} =");
    for (index, (name, ns)) in segments.iter().enumerate() {
        let plus = if index > 0 { " +" } else { "" };
        let _ = write!(text, "{plus} {} {name}", signed_time(*ns));
    }
    text.push('\n');
    text
}

fn cells(exchange: &Exchange) -> impl Iterator<Item = String> {
    let labels = |site: &Site| {
        [&site.cloud, &site.region, &site.zone, &site.node].map(|label| escape::csv(label))
    };
    let segment = |name: &str| {
        let found = exchange.segments.iter().find(|(one, _)| *one == name);
        found.map(|(_, ns)| ns.to_string()).unwrap_or_default()
    };
    let ends = [&exchange.source, &exchange.destination].map(String::clone);
    [exchange.ended.clone()]
        .into_iter()
        .chain(labels(&exchange.near))
        .chain(labels(&exchange.far))
        .chain(ends)
        .chain([exchange.kind.to_owned(), exchange.total_ns.to_string()])
        .chain(Segment::ALL.map(|(one, ..)| segment(one.name())))
}

fn line(cells: impl Iterator<Item = String>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells)?;
    writer.flush()?;
    Ok(String::from_utf8(writer.into_inner().map_err(|error| error.into_error())?)?)
}
