//! The account of what leaves by an uplink, beside what the kernel's own devices count.

mod crafted;
mod load;
mod net;
mod real;

use aya::programs::{SchedClassifier, TcAttachType, tc};
use net::Namespace;
use xcloud::kernel::{
    egress::{Egress, Left},
    object::Extras,
};
use xcloud_common::config::{Config, Tunnels};

use crate::harness::Kernel;

/// The programs, with the account on.
struct Counting {
    kernel: Kernel,
    egress: Egress,
}

/// Port of the tunnels here.
const VXLAN_PORT: u16 = 4789;

impl Counting {
    fn load(config: Config) -> Self {
        let mut kernel = Kernel::load_for(Extras { account: true, ..Extras::default() });
        kernel.configure(config);
        let egress = Egress::take(&mut kernel.ebpf).expect("the account");
        Self { kernel, egress }
    }

    /// Counts what leaves a namespace by an interface.
    fn at(namespace: &Namespace, uplink: &str) -> Self {
        let tunnels = Tunnels { vxlan: [VXLAN_PORT, 0, 0, 0], ..Tunnels::default() };
        // Few exchanges are selected.
        let mut counting = Self::load(Config { shift: 16, tunnels, ..Config::default() });
        let program = counting.kernel.ebpf.program_mut("uplink_queue").expect("there");
        let program: &mut SchedClassifier = program.try_into().expect("a TC program");
        program.load().expect("loading uplink_queue");
        namespace.run(|| {
            tc::qdisc_add_clsact(uplink).expect("a qdisc for classifiers");
            let netlink = tc::TcAttachOptions::Netlink(tc::NlOptions::default());
            program.attach_with_options(uplink, TcAttachType::Egress, netlink).expect("attaching");
        });
        counting
    }

    /// What left since the last call.
    fn left(&mut self) -> Left {
        self.egress.drain().expect("reading the account")
    }
}
