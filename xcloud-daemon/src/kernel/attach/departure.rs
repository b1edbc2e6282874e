//! Programs that are on no interface: at the uplinks' departure, and at pods' sockets.

use anyhow::{Context as _, Result, ensure};
use aya::programs::{
    BtfTracePoint, KProbe, RawTracePoint, kprobe::KProbeLink, raw_trace_point::RawTracePointLink,
    tp_btf::BtfTracePointLink,
};

use super::{Programs, program, refused};
use crate::kernel::probe::{DepartureHook, LOCKED};

pub(super) const XMIT: &str = "net_dev_start_xmit";
pub(super) const TCP_PROBE: &str = "tcp_probe";
pub(super) const HARD_XMIT: &str = "dev_hard_start_xmit";

/// The tracepoint at the hand-over to the driver; detached when it is dropped.
#[expect(dead_code, reason = "held for their drop")]
pub(super) enum Departure {
    TpBtf(BtfTracePointLink),
    RawTp(RawTracePointLink),
    Kprobe(KProbeLink),
}

impl Programs {
    /// Hooks the uplinks' departure, where that is a tracepoint.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach_departure(&mut self) -> Result<()> {
        let why = || format!("attaching to tracepoint {XMIT}");
        self.departure = match self.plan.uplink_out {
            DepartureHook::TpBtf => {
                let program: &mut BtfTracePoint = program(&mut self.ebpf, "uplink_xmit")?;
                let link = program.attach().with_context(why)?;
                Some(Departure::TpBtf(program.take_link(link)?))
            }
            DepartureHook::RawTp => {
                let program: &mut RawTracePoint = program(&mut self.ebpf, "uplink_xmit_raw")?;
                let link = program.attach(XMIT).with_context(why)?;
                Some(Departure::RawTp(program.take_link(link)?))
            }
            DepartureHook::Kprobe => {
                let program: &mut KProbe = program(&mut self.ebpf, "uplink_xmit_kprobe")?;
                let link = program
                    .attach(HARD_XMIT, 0)
                    .with_context(|| format!("attaching to function {HARD_XMIT}"))?;
                Some(Departure::Kprobe(program.take_link(link)?))
            }
            DepartureHook::TcEgress | DepartureHook::None => None,
        };
        Ok(())
    }

    /// Takes the tracepoint's hook off.
    pub fn detach_departure(&mut self) {
        self.departure = None;
    }

    /// Sees what pods' sockets are given, from now on.
    ///
    /// # Errors
    /// Kernel lockdown forbids it, or the kernel refuses the program or has no such tracepoint.
    pub fn watch_sockets(&mut self) -> Result<()> {
        if self.sockets.is_some() {
            return Ok(());
        }
        ensure!(self.plan.reads_kernel, "sockets are in kernel memory: {LOCKED}");
        let name = "pod_in_socket";
        let program: &mut RawTracePoint = program(&mut self.ebpf, name)?;
        // Few nodes need it.
        if program.fd().is_err() {
            program.load().with_context(|| refused(name))?;
        }
        let link = program.attach(TCP_PROBE);
        let link = link.with_context(|| format!("attaching to tracepoint {TCP_PROBE}"))?;
        self.sockets = Some(program.take_link(link)?);
        Ok(())
    }

    /// Does so no longer.
    pub fn leave_sockets(&mut self) {
        self.sockets = None;
    }
}
