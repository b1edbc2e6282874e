//! What the kernel programs count, one per-CPU array element each. Every way an exchange can be lost has one.

/// Index into [`Counters`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Exchanges opened at their first hook.
    Opened,
    /// Observations that reached the last hook, whether or not the ring had room or their slot was still theirs.
    Emitted,
    /// Observations the ring had no room for.
    RingFull,
    /// Exchanges whose slot was taken within its lifetime by another.
    Collision,
    /// Exchanges whose slot was taken after its lifetime, unanswered.
    Unanswered,
    /// Exchanges dropped because the data was sent again and answers cannot be told apart.
    Retransmit,
    /// Answers left out because they echo another copy's TSval.
    OtherCopy,
    /// Answers of another connection that happened to name the same sequence number.
    OtherFlow,
    /// IP fragments, which carry no TCP header or only part of a segment.
    Fragment,
    /// Packets whose headers were cut short or contradict themselves.
    Malformed,
    /// Encrypted packets that left without being one that a pod's hook had selected: others, and parts of super-segments.
    EncryptedUnmatched,
}

impl Counter {
    /// Those that say why packets were left out, with the reason's name.
    pub const LEFT_OUT: [(Self, &'static str); 5] = [
        (Self::OtherCopy, "other_copy"),
        (Self::OtherFlow, "other_flow"),
        (Self::Fragment, "fragment"),
        (Self::Malformed, "malformed"),
        (Self::EncryptedUnmatched, "encrypted_unmatched"),
    ];
}

/// All counters, by [`Counter`]. One value of the map, so that a hook looks for them once and user space asks once; of a
/// length that a mask bounds, which is how the verifier sees that an index is in range.
pub type Counters = [u64; 16];

const _: () =
    assert!((Counter::EncryptedUnmatched as usize) < size_of::<Counters>() / size_of::<u64>());
