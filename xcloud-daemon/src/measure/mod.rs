//! The pure part: join, split and store. No I/O, no async, no clock read; time comes in as an argument.
//!
//! Observations come in ([`state`]), their agents are held to account ([`ledger`], [`account`]), near and far ends meet ([`join`], [`books`]),
//! the difference of their stamps becomes segments ([`split`]), which are kept per path and interval ([`store`]) as
//! distributions ([`histogram`]) that remember what their tail is made of ([`cell`], [`tail`]). Beside the store, what was
//! measured since the start is summed for other systems ([`cumulative`], [`exponential`]) as
//! finely as they want it told apart ([`tier`], [`ends`]).

pub mod account;
pub mod books;
pub mod bytes;
pub mod cell;
pub mod cumulative;
pub mod ends;
pub mod exponential;
pub mod histogram;
pub mod join;
pub mod ledger;
pub mod places;
pub mod split;
pub mod stages;
pub mod state;
pub mod store;
pub mod tail;
pub mod tier;
pub mod workload;

use xcloud_common::sample::{Sample, flag, kind};

/// What kind of answer ended an exchange. Kinds are never mixed in one distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// SYN to SYN-ACK.
    Handshake,
    /// Data to the first packet that acknowledges exactly its end.
    Ack,
    /// Data to the first such packet with payload.
    Response,
}

impl Kind {
    /// All kinds, with their bit in a sample and their name.
    pub const ALL: [(Self, u8, &'static str); 3] = [
        (Self::Handshake, kind::HANDSHAKE, "handshake"),
        (Self::Ack, kind::ACK, "ack"),
        (Self::Response, kind::RESPONSE, "response"),
    ];

    /// Name for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].2
    }

    /// The kinds a sample counts for.
    pub fn of(sample: &Sample) -> impl Iterator<Item = Self> + use<> {
        let kinds = sample.kinds;
        Self::ALL.into_iter().filter(move |(_, bit, _)| kinds & bit != 0).map(|(kind, ..)| kind)
    }
}

/// A part of an exchange's time, in the order of travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// Sending pod's interface to its node's uplink, without the queue where that was measured.
    NearCniEgress,
    /// Sending node's uplink queue.
    NearQueue,
    /// Both directions between the two uplinks.
    Wan,
    /// Receiving node's uplink to the receiving pod's interface.
    FarCniIngress,
    /// Receiving pod: its stack, delayed acknowledgement and application.
    FarPod,
    /// Receiving pod's interface to its node's uplink, without the queue where that was measured.
    FarCniEgress,
    /// Receiving node's uplink queue.
    FarQueue,
    /// Sending node's uplink to the sending pod's interface.
    NearCniIngress,
    /// Everything past the sending node's uplink, where no far node was seen. Never the WAN alone.
    BeyondUplink,
}

/// Number of segments.
pub const SEGMENTS: usize = Segment::ALL.len();

/// Segments that belong together in the sum a reader is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Both nodes' CNI, both directions.
    Cni,
    /// Both nodes' uplink queues.
    Queue,
    /// The WAN, both directions.
    Wan,
    /// The far pod.
    Pod,
    /// Beyond the uplink, unsplit.
    BeyondUplink,
}

impl Segment {
    /// All segments in the order of travel, with their group and name.
    pub const ALL: [(Self, Group, &'static str); 9] = [
        (Self::NearCniEgress, Group::Cni, "near_cni_egress"),
        (Self::NearQueue, Group::Queue, "near_queue"),
        (Self::Wan, Group::Wan, "wan"),
        (Self::FarCniIngress, Group::Cni, "far_cni_ingress"),
        (Self::FarPod, Group::Pod, "far_pod"),
        (Self::FarCniEgress, Group::Cni, "far_cni_egress"),
        (Self::FarQueue, Group::Queue, "far_queue"),
        (Self::NearCniIngress, Group::Cni, "near_cni_ingress"),
        (Self::BeyondUplink, Group::BeyondUplink, "beyond_uplink"),
    ];

    /// Name for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].2
    }

    /// The group it is summed in.
    #[must_use]
    pub const fn group(self) -> Group {
        Self::ALL[self as usize].1
    }
}

/// Where an agent runs: labels its operator gave or that it found out, empty when unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Cloud provider.
    pub cloud: String,
    /// Region of the cloud.
    pub region: String,
    /// Availability zone.
    pub zone: String,
    /// Node name.
    pub node: String,
    /// Kubernetes cluster.
    pub cluster: String,
}

/// Number of an agent, unique in one life of the aggregator.
pub type AgentId = u32;

/// One end of one exchange of one kind, as an agent reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Who reported it.
    pub agent: AgentId,
    /// Its kind; one sample of several kinds gives several observations.
    pub kind: Kind,
    /// What the kernel said.
    pub sample: Sample,
    /// Whose its pod was.
    pub workload: workload::WorkloadId,
    /// When its last stamp was taken, by the aggregator's clock, in nanoseconds since 1970.
    pub ended_ns: u64,
}

impl Observation {
    /// Whether this is the end of the node that answered.
    #[must_use]
    pub const fn is_far(&self) -> bool {
        self.sample.flags & flag::FAR != 0
    }
}

/// `later - earlier` where both were passed.
fn between(earlier: u64, later: u64) -> Option<u64> {
    if earlier == 0 || later == 0 { None } else { Some(later.saturating_sub(earlier)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_the_order_of_their_enums() {
        assert!(Kind::ALL.iter().enumerate().all(|(index, (kind, ..))| *kind as usize == index));
        assert!(Segment::ALL.iter().enumerate().all(|(index, (one, ..))| *one as usize == index));
    }
}
