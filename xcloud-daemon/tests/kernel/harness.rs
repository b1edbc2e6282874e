//! The programs in the running kernel, driven by `BPF_PROG_TEST_RUN` instead of traffic.
#![allow(dead_code, reason = "the tests and the bench each use a part")]

use aya::{
    Ebpf, TestRunOptions, TestRunResult,
    maps::{Array, MapData, PerCpuArray},
    programs::{SchedClassifier, TestRun as _},
};
use xcloud::kernel::{
    drain::Ring,
    object::{self, Extras},
};
use xcloud_common::{
    config::Config,
    counter::{Counter, Counters},
    sample::Sample,
};

/// Every TC program of the object.
pub(crate) const CLASSIFIERS: [&str; 12] = [
    "pod_out",
    "pod_in",
    "pod_out_inside",
    "pod_in_inside",
    "uplink_in",
    "uplink_queue",
    "uplink_out",
    "pod_out_ip",
    "pod_in_ip",
    "uplink_in_ip",
    "uplink_queue_ip",
    "uplink_out_ip",
];

/// Whether kernel tests can run; says why not, and fails in CI, where they must.
pub(crate) fn available() -> bool {
    let why = if !nix::unistd::geteuid().is_root() {
        "needs root"
    } else if object::is_stub() {
        "built without the kernel programs: run `cargo xtask test`"
    } else {
        return true;
    };
    assert!(std::env::var_os("CI").is_none(), "kernel tests must run in CI: {why}");
    eprintln!("SKIPPED: {why}");
    false
}

/// Whether this kernel has kprobes, by a look of its own; says so where it has none.
pub(crate) fn has_kprobes() -> bool {
    let has = std::path::Path::new("/sys/bus/event_source/devices/kprobe/type").exists();
    if !has {
        eprintln!("SKIPPED: this kernel has no kprobes");
    }
    has
}

/// The loaded object.
pub(crate) struct Kernel {
    pub(crate) ebpf: Ebpf,
    ring: Ring,
    config: Array<MapData, Config>,
    counts: PerCpuArray<MapData, Counters>,
}

impl Kernel {
    /// Makes the maps, selecting every exchange; a program is loaded when it first runs.
    pub(crate) fn load() -> Self {
        Self::load_for(Extras::default())
    }

    /// The same, with what is there only if it is asked for.
    pub(crate) fn load_for(extras: Extras) -> Self {
        let mut ebpf = object::load_for(extras).expect("loading the kernel object");
        let ring = Ring::take(&mut ebpf).expect("the ring");
        let config = Array::try_from(ebpf.take_map(".data.config").expect("the configuration"))
            .expect("an array");
        let counts = PerCpuArray::try_from(ebpf.take_map("COUNTS").expect("COUNTS")).expect("one");
        Self { ebpf, ring, config, counts }
    }

    /// Replaces the configuration.
    pub(crate) fn configure(&mut self, config: Config) {
        self.config.set(0, config, 0).expect("setting the configuration");
    }

    /// Runs a program once on a packet: its verdict and what it made of the packet.
    pub(crate) fn run(&mut self, program: &str, packet: &[u8]) -> (i32, Vec<u8>) {
        let mut after = vec![0; packet.len() + 64];
        let result = self.test_run(program, packet, Some(&mut after));
        after.truncate(result.data_size_out as usize);
        (result.return_value.cast_signed(), after)
    }

    /// Runs a program once on a packet: the kernel's time for it in nanoseconds.
    pub(crate) fn time(&mut self, program: &str, packet: &[u8]) -> u32 {
        let result = self.test_run(program, packet, None);
        u32::try_from(result.duration.as_nanos()).unwrap_or(u32::MAX)
    }

    fn test_run(
        &mut self,
        program: &str,
        data_in: &[u8],
        data_out: Option<&mut [u8]>,
    ) -> TestRunResult {
        let options = TestRunOptions {
            data_in: Some(data_in),
            data_out,
            repeat: 1,
            ..TestRunOptions::default()
        };
        let classifier = classifier(&mut self.ebpf, program);
        if classifier.fd().is_err() {
            classifier.load().unwrap_or_else(|error| panic!("{program}: {error:?}"));
        }
        classifier.test_run(options).unwrap_or_else(|error| panic!("{program}: {error:?}"))
    }

    /// Samples since the last call.
    pub(crate) fn samples(&mut self) -> Vec<Sample> {
        let mut samples = Vec::new();
        self.ring.drain(&mut samples, usize::MAX);
        samples
    }

    /// Observations so far whose slot changed hands.
    pub(crate) fn torn(&self) -> u64 {
        self.ring.torn()
    }

    /// A counter, summed over CPUs.
    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.counts.get(&0, 0).expect("the counters").iter().map(|cpu| cpu[counter as usize]).sum()
    }
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut SchedClassifier {
    ebpf.program_mut(name).expect(name).try_into().expect("a TC program")
}
