//! From a hook to the slots: select, find the slot, take the hook's step, emit.

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::TcContext};
use xcloud_common::{
    config::Tunnels,
    counter::Counter,
    identity,
    record::{AT_SOCKET, Record},
};
use xcloud_ebpf::{
    buffer::Buffer,
    exchange::{self, End, MaybeSlot, Seen, SlotRef},
    packet::{Bytes, ETHERTYPE_QINQ, ETHERTYPE_VLAN, Headers, Link, Skip},
    tunnel,
};

use crate::{
    access::{self, Copied, Linear, read},
    account, carried, maps,
};

/// `BPF_RB_NO_WAKEUP`: user space looks at its own pace.
const NO_WAKEUP: u64 = 1;

/// Where a packet is seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// `P_out`: it leaves the pod.
    PodOut,
    /// `U_tc`: before the uplink's queue.
    UplinkQueue,
    /// `U_out`: handed to the uplink's driver.
    UplinkOut,
    /// `U_in`: received by the uplink.
    UplinkIn,
    /// `P_in`: it enters the pod.
    PodIn,
    /// `P_in` at the pod's socket.
    PodSocket,
}

impl Hook {
    /// The table of exchanges whose data passes here.
    #[inline(always)]
    fn data_slot(self, hash: u32) -> MaybeSlot {
        match self {
            Self::PodOut | Self::UplinkQueue | Self::UplinkOut => maps::near(hash),
            Self::UplinkIn | Self::PodIn | Self::PodSocket => maps::far(hash),
        }
    }

    /// Whether data passing here opens an exchange.
    #[inline(always)]
    fn opens(self) -> bool {
        matches!(self, Self::PodOut | Self::UplinkIn)
    }

    /// Whether packets between nodes pass here, wrapped where the CNI does so.
    #[inline(always)]
    fn at_uplink(self) -> bool {
        matches!(self, Self::UplinkQueue | Self::UplinkOut | Self::UplinkIn)
    }

    /// The table of exchanges whose answers pass here.
    #[inline(always)]
    fn answer_slot(self, hash: u32) -> MaybeSlot {
        match self {
            Self::PodOut | Self::UplinkQueue | Self::UplinkOut => maps::far(hash),
            Self::UplinkIn | Self::PodIn | Self::PodSocket => maps::near(hash),
        }
    }
}

/// The work of `P_in` on headers from an IP header on that a pod's socket is given in a packet of `len` bytes; `place` is
/// the pod's network namespace.
#[inline(always)]
pub(crate) fn socket(copy: &Copied, len: u32, place: u32) {
    // What else is told of a packet was told when it came in by the uplink.
    let _ = run(copy, Hook::PodSocket, Link::Ip, len, || place, || None, &mut 0);
}

/// Looks at a packet and, where it carries another, at that one; what carries two is not looked into further, at no hook.
pub(crate) const LOOKS: u32 = 2;
/// What [`look`] says of a packet that carries another, encrypted.
pub(crate) const OPAQUE: u32 = u32::MAX;
/// What it says of headers that are cut short or contradict themselves. It does not log itself: kernels before 6.1 allow
/// two functions with frames of this size to call one another, but not three.
pub(crate) const MALFORMED: u32 = u32::MAX - 1;

/// A TC program's work on an interface of the node. What cannot be read in place is looked at by `look`, see [`look`].
#[inline(always)]
pub(crate) fn tc(ctx: &TcContext, hook: Hook, link: Link, look: impl Fn(u32, u32, u32) -> u32) {
    // SAFETY: the context is valid while the program runs.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    // Of the two at most one is on an uplink.
    if matches!(hook, Hook::UplinkQueue | Hook::UplinkOut) && maps::accounts() {
        account::add(ctx, ifindex);
    }
    packet(ctx, hook, link, || ifindex, look);
}

/// The same inside a pod's network namespace, where an interface's number names nothing: the namespace's own number
/// does, and is never an interface's.
#[inline(always)]
pub(crate) fn tc_inside(
    ctx: &TcContext,
    hook: Hook,
    link: Link,
    look: impl Fn(u32, u32, u32) -> u32,
) {
    packet(ctx, hook, link, || namespace(ctx).unwrap_or(0), look);
}

#[inline(always)]
fn namespace(ctx: &TcContext) -> Result<u32, i32> {
    // SAFETY: the helper checks every address; a TC program's context is the kernel's sk_buff.
    unsafe {
        let dev = read::<u64>(ctx.skb.skb.cast(), maps::SKB_DEV.load())? as *const u8;
        let net = read::<u64>(dev, maps::DEV_NET.load())? as *const u8;
        read::<u32>(net, maps::NET_INUM.load())
    }
}

/// `place` says where the packet is seen, and is asked for few.
#[inline(always)]
fn packet(
    ctx: &TcContext,
    hook: Hook,
    link: Link,
    place: impl Fn() -> u32 + Copy,
    look: impl Fn(u32, u32, u32) -> u32,
) {
    let linear = Linear::new(ctx);
    let mut inner = 0;
    let buffer = || buffer(ctx);
    let (mut start, looked) = match run(&linear, hook, link, ctx.len(), place, buffer, &mut inner) {
        Ok(Looked::Chosen { now_ns }) if hook == Hook::PodOut && maps::is_opaque() => {
            return keep(ctx, link, now_ns, place());
        }
        Ok(_) | Err(Skip::Other) => return,
        Err(Skip::Opaque) => return hidden(hook, buffer(), place()),
        Err(Skip::Fragment) => return maps::count([Some(Counter::Fragment)], 1),
        Err(Skip::Carrier) => (inner, 1),
        Err(Skip::Malformed) => match link {
            Link::Ip => (0, 0),
            Link::Ethernet => (link_header(ctx), 0),
        },
    };
    for _ in looked..LOOKS {
        let Some(copied) = access::copy_skb(ctx, start) else {
            return malformed(ctx.len().saturating_sub(start), place());
        };
        match look(copied, ctx.len() - start, place()) {
            0 => return,
            OPAQUE => return hidden(hook, buffer(), place()),
            MALFORMED => return malformed(ctx.len() - start, place()),
            inner => start += inner,
        }
    }
}

/// Keeps a packet in case a carrier hides it. Its headers are read again: kept until here, they would cost every packet
/// the registers, and few nodes encrypt.
#[inline(always)]
fn keep(ctx: &TcContext, link: Link, now_ns: u64, ifindex: u32) {
    let bytes = Linear::new(ctx);
    let Ok(headers) = Headers::parse(&bytes, link, ctx.len()) else { return };
    let Some(ip) = headers.ip_header(&bytes) else { return };
    let Some(facts) = headers.facts(&bytes, &ip) else { return };
    let seen = Seen { headers, facts, now_ns, ifindex };
    carried::sent(buffer(ctx), &seen, |out| headers.copy_addresses(&ip, out));
}

/// The packet's buffer; none of a super-segment's, which encryption cuts.
#[inline(always)]
fn buffer(ctx: &TcContext) -> Option<Buffer> {
    // SAFETY: the context is valid while the program runs, and is the kernel's sk_buff.
    let skb = unsafe { &*ctx.skb.skb };
    if skb.gso_size != 0 {
        return None;
    }
    let address = maps::number(ctx.skb.skb.cast::<u8>().cast_const())?;
    Some(Buffer { address, hash: skb.hash, len: skb.len })
}

#[inline(always)]
pub(crate) fn hidden(hook: Hook, buffer: Option<Buffer>, ifindex: u32) {
    if let Some(buffer) = buffer {
        carried::carrier(hook, buffer, ifindex);
    }
}

/// The hook's work on `copied` bytes of headers in this CPU's scratch room, from an IP header on, of a packet of `len`
/// bytes. Returns where the IP header of a packet carried in it is, [`OPAQUE`] when that is encrypted, [`MALFORMED`], else 0.
///
/// Each program calls it as a global function: the verifier walks through that once, and not once for every way to it.
#[inline(always)]
pub(crate) fn look(hook: Hook, copied: u32, len: u32, ifindex: u32) -> u32 {
    // Used by some hooks only; where it is not, the compiler would leave anything in its register, and the verifier asks
    // for a number.
    let ifindex = access::opaque(ifindex as usize) as u32;
    let Some(copy) = Copied::new(copied) else { return 0 };
    let mut inner = 0;
    match run(&copy, hook, Link::Ip, len, || ifindex, || None, &mut inner) {
        Ok(_) | Err(Skip::Other) => {}
        Err(Skip::Fragment) => maps::count([Some(Counter::Fragment)], 1),
        Err(Skip::Malformed) => return MALFORMED,
        Err(Skip::Carrier) => return inner,
        Err(Skip::Opaque) => return OPAQUE,
    }
    0
}

#[inline(always)]
pub(crate) fn malformed(len: u32, ifindex: u32) {
    maps::count([Some(Counter::Malformed)], 1);
    aya_log_ebpf::debug!(
        (),
        "malformed headers in {} bytes from the IP header on, at interface {}",
        len,
        ifindex
    );
}

/// Length of the Ethernet header with its VLAN tags, at most two.
#[inline(always)]
fn link_header(ctx: &TcContext) -> u32 {
    let is_tag = |offset| {
        let kind = ctx.load::<u16>(offset).map_or(0, u16::from_be);
        kind == ETHERTYPE_VLAN || kind == ETHERTYPE_QINQ
    };
    match (is_tag(12), is_tag(16)) {
        (true, true) => 22,
        (true, false) => 18,
        (false, _) => 14,
    }
}

/// What became of a packet that is TCP.
enum Looked {
    /// Not selected, or of no exchange that is open.
    Passed,
    /// The hook's step was taken at this time.
    Chosen { now_ns: u64 },
}

/// Does the hook's work for a packet. One that carries another is left out, and `inner` says where that one's IP
/// header is.
#[inline(always)]
fn run<B: Bytes>(
    bytes: &B,
    hook: Hook,
    link: Link,
    len: u32,
    place: impl Fn() -> u32,
    buffer: impl Fn() -> Option<Buffer>,
    inner: &mut u32,
) -> Result<Looked, Skip> {
    let config = maps::config();
    let headers = match Headers::parse(bytes, link, len) {
        Ok(headers) => headers,
        Err(Skip::Other) if hook.at_uplink() => {
            return Err(carries(bytes, link, &config.tunnels, inner));
        }
        Err(skip) => return Err(skip),
    };
    let (data, answer) = (identity::hash(headers.end_seq), identity::hash(headers.ack));
    let data_chosen = headers.is_data() && identity::selected(data, config.shift);
    let answer_chosen = headers.is_answer() && identity::selected(answer, config.shift);
    let mut data_slot = if data_chosen { hook.data_slot(data) } else { MaybeSlot::NONE };
    if !hook.opens() {
        data_slot = data_slot.of_its_hash();
    }
    let answer_slot = if answer_chosen { hook.answer_slot(answer) } else { MaybeSlot::NONE };
    let answer_slot = answer_slot.of_its_hash();
    let unopened =
        hook == Hook::PodIn && data_chosen && data_slot.get().is_none() && maps::is_opaque();
    // Asked one by one: the compiler would ask whether both addresses are zero by joining their bits, which the
    // verifier forbids.
    let found = access::opaque(usize::from(data_slot.get().is_some()));
    if found == 0 && !unopened && answer_slot.get().is_none() || headers.has_port(config.own_port) {
        return Ok(Looked::Passed);
    }
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let arrived = arrived(hook, buffer, now_ns);
    let ip = headers.ip_header(bytes).ok_or(Skip::Malformed)?;
    let facts = headers.facts(bytes, &ip).ok_or(Skip::Malformed)?;
    let seen = Seen { headers, facts, now_ns, ifindex: place() };
    let seen = match arrived {
        Some(arrived) if hook == Hook::UplinkIn => Seen { now_ns: arrived, ..seen },
        _ => seen,
    };
    if let Some(arrived) = arrived
        && hook == Hook::PodIn
    {
        let earlier = Seen { now_ns: arrived, ..seen };
        if unopened {
            data_slot = opened_at_uplink(data, &earlier);
        }
        answered_at_uplink(answer_slot.get(), &earlier);
    }
    if let Some(slot) = data_slot.get() {
        on_data(hook, slot, &seen);
    }
    if let Some(slot) = answer_slot.get() {
        let addresses = |out: &mut [u32; 8]| headers.copy_addresses(&ip, out);
        on_answer(&addresses, hook, slot, &seen, config.shift);
    }
    Ok(Looked::Chosen { now_ns })
}

/// When the carrier came in that this packet was hidden by, if carriers are about.
#[inline(always)]
fn arrived(hook: Hook, buffer: impl Fn() -> Option<Buffer>, now_ns: u64) -> Option<u64> {
    if !matches!(hook, Hook::UplinkIn | Hook::PodIn) || !maps::is_opaque() {
        return None;
    }
    carried::arrival(hook, buffer()?, now_ns)
}

/// What a packet is that is no TCP: a carrier, whose inner IP header `inner` then tells, or nothing of use.
#[inline(always)]
fn carries<B: Bytes>(bytes: &B, link: Link, tunnels: &Tunnels, inner: &mut u32) -> Skip {
    if let Some(found) = tunnel::inner(bytes, link, tunnels) {
        *inner = found as u32;
        Skip::Carrier
    } else if tunnel::is_opaque(bytes, link) {
        Skip::Opaque
    } else {
        Skip::Other
    }
}

/// Does for an answer that came in encrypted what the uplink's hook could not.
#[inline(always)]
fn answered_at_uplink(slot: Option<SlotRef>, seen: &Seen) {
    if let Some(slot) = slot {
        maps::count([exchange::answer(slot, seen, End::Near)], 1);
    }
}

/// Does for data that came in encrypted what the uplink's hook could not.
#[inline(always)]
fn opened_at_uplink(data: u32, seen: &Seen) -> MaybeSlot {
    if let Some(slot) = maps::far(data).get() {
        maps::count(exchange::open(slot, seen, End::Far), 1);
    }
    maps::far(data)
}

#[inline(always)]
pub(crate) fn on_data(hook: Hook, slot: SlotRef, seen: &Seen) {
    match hook {
        Hook::PodOut => maps::count(exchange::open(slot, seen, End::Near), 1),
        Hook::UplinkIn => maps::count(exchange::open(slot, seen, End::Far), 1),
        Hook::UplinkQueue => exchange::queue_data(slot, seen),
        Hook::UplinkOut => maps::count([exchange::pass(slot, seen, End::Near)], 1),
        Hook::PodIn => maps::count([exchange::pass(slot, seen, End::Far)], 1),
        Hook::PodSocket => maps::count([exchange::pass_at_socket(slot, seen)], 1),
    }
}

#[inline(always)]
pub(crate) fn on_answer(
    addresses: &impl Fn(&mut [u32; 8]),
    hook: Hook,
    slot: SlotRef,
    seen: &Seen,
    shift: u32,
) {
    match hook {
        Hook::PodOut => maps::count([exchange::answer(slot, seen, End::Far)], 1),
        Hook::UplinkQueue => exchange::queue_answer(slot, seen),
        Hook::UplinkIn => maps::count([exchange::answer(slot, seen, End::Near)], 1),
        Hook::UplinkOut => emit(addresses, slot, seen, End::Far, shift, 0),
        Hook::PodIn => emit(addresses, slot, seen, End::Near, shift, 0),
        Hook::PodSocket => emit(addresses, slot, seen, End::Near, shift, AT_SOCKET),
    }
}

#[inline(always)]
fn emit(
    addresses: &impl Fn(&mut [u32; 8]),
    slot: SlotRef,
    seen: &Seen,
    end: End,
    shift: u32,
    about: u32,
) {
    let Some(ending) = exchange::finish(slot, seen, end) else { return };
    let Some(mut entry) = maps::samples().reserve::<Record>(0) else {
        let lost = [Some(Counter::Emitted), Some(Counter::RingFull)];
        maps::count(lost, ending.observations());
        return;
    };
    // SAFETY: all that user space looks at is written here; the rest is the ring's own memory.
    let record = unsafe { &mut *entry.as_mut_ptr() };
    ending.write(slot, seen, shift, record);
    record.about |= about;
    addresses(&mut record.addresses);
    // Counted before it can be seen, so that user space never has more than was counted.
    maps::count([Some(Counter::Emitted)], ending.observations());
    entry.submit(NO_WAKEUP);
}
