//! One end of one exchange, as user space works with it.

use crate::slot::Tuple;

/// One end of one exchange, from a [`crate::record::Record`] that was found whole. Stamps are `CLOCK_MONOTONIC`
/// nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Near: the data left the pod (`P_out`). Far: the data came in (`U_in`).
    pub first_ns: u64,
    /// Near: the data left the node (`U_out`). Far: it entered the pod (`P_in`). 0 when the hook was not passed.
    pub second_ns: u64,
    /// Near: the answer came in (`U_in`). Far: it left the pod (`P_out`).
    pub third_ns: u64,
    /// Near: the answer entered the pod (`P_in`). Far: it left the node (`U_out`).
    pub last_ns: u64,
    /// Before the uplink queue (`U_tc`); 0 when not measured.
    pub queue_ns: u64,
    /// Sequence number right after the data.
    pub end_seq: u32,
    /// TSval of the data, 0 without the option.
    pub tsval: u32,
    /// [`crate::identity::answer_digest`] of the answering packet.
    pub answer: u32,
    /// Interface of the pod.
    pub pod_ifindex: u32,
    /// Interface of the uplink at the last uplink hook; 0 when not known.
    pub uplink_ifindex: u32,
    /// Labels.
    pub tuple: Tuple,
    /// [`kind`] bits: what this answer is.
    pub kinds: u8,
    /// [`flag`] bits.
    pub flags: u8,
    /// One exchange in `2^shift` was selected.
    pub shift: u8,
}

/// Bits of [`Sample::kinds`].
pub mod kind {
    /// SYN to SYN-ACK.
    pub const HANDSHAKE: u8 = 1;
    /// First packet that acknowledges exactly the data's end.
    pub const ACK: u8 = 2;
    /// First such packet with payload.
    pub const RESPONSE: u8 = 4;
}

/// Bits of [`Sample::flags`].
pub mod flag {
    /// This node is the far one.
    pub const FAR: u8 = 1;
    /// The data was sent more than once, and the answer echoes this copy's TSval.
    pub const RESENT: u8 = 2;
    /// What went into the pod was seen at its socket, not at an interface.
    pub const AT_SOCKET: u8 = 4;
}

impl Sample {
    /// Observations in this sample: a packet that is both acknowledgement and response counts for both kinds.
    #[inline(always)]
    #[must_use]
    pub const fn observations(&self) -> u64 {
        self.kinds.count_ones() as u64
    }
}
