//! The opt-in stage profile: collects what CNI segments are made of, measures its own cost, and says both.

mod upkeep;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use nix::net::if_::if_indextoname;
use tracing::debug;
use xcloud_common::{sample::Sample, stage::Stage};
use xcloud_proto::common::v1::{self as proto, PodStages, StageCost, StageProbe, StageProfile};

use self::upkeep::Upkeep;
use super::hooks::SharedHooks;
use crate::{
    escape::{clean, cut},
    kernel::{
        stages::{StageCells, Told},
        trial::kprobe::EmptyProbe,
    },
    measure::stages::{Direction, Profile},
    wire::limits::{LONGEST_LABEL, MOST_STAGE_PODS},
};

/// How often the profile is told.
const PERIOD: Duration = Duration::from_secs(1);

/// What the agent keeps of it.
#[derive(Debug)]
pub struct Stages {
    cells: StageCells,
    profile: Profile,
    cost: StageCost,
    told: Instant,
    upkeep: Upkeep,
}

impl Stages {
    /// Starts with nothing known but what a probe costs here.
    #[must_use]
    pub fn new(cells: StageCells) -> Self {
        let (entry_probe_ns, return_probe_ns) = probe_cost().unwrap_or_else(|error| {
            debug!("what a probe costs could not be measured: {error}");
            (0, 0)
        });
        Self {
            cells,
            profile: Profile::default(),
            cost: StageCost { entry_probe_ns, return_probe_ns, programs: Vec::new() },
            told: Instant::now(),
            upkeep: Upkeep::default(),
        }
    }

    /// Adds drained samples.
    pub fn take(&mut self, samples: &[Sample]) {
        for sample in samples {
            self.profile.add(sample, self.cells.of(sample));
        }
    }

    /// The profile, when it is time to tell it.
    pub fn tell(&mut self, hooks: &SharedHooks, last: bool) -> Option<StageProfile> {
        if self.told.elapsed() < PERIOD && !last {
            return None;
        }
        self.told = Instant::now();
        if let Some(programs) = self.upkeep.turn(hooks) {
            self.cost.programs = programs;
        }
        self.profile.make_room(MOST_STAGE_PODS, |index| if_indextoname(index).is_ok());
        Some(self.wire(hooks.lock().stages()))
    }

    fn wire(&self, told: &[Told]) -> StageProfile {
        let probes = told.iter().map(|told| StageProbe {
            stage: stage(told.probe.stage).into(),
            function: told.probe.function.into(),
            missing: cut(&clean(told.missing.as_deref().unwrap_or_default()), LONGEST_LABEL),
        });
        StageProfile {
            pods: pods(&self.profile),
            probes: probes.collect(),
            cost: Some(self.cost.clone()),
        }
    }
}

/// As many as the aggregator takes.
fn pods(profile: &Profile) -> Vec<PodStages> {
    let pods = profile.pods.iter().take(MOST_STAGE_PODS);
    pods.map(|((index, way), sums)| pod(*index, *way, sums)).collect()
}

fn pod(index: u32, way: Direction, sums: &crate::measure::stages::Sums) -> PodStages {
    let stages = Stage::ALL.iter().zip(&sums.stages).filter(|(_, sum)| sum.packets > 0);
    PodStages {
        pod_interface_index: index,
        pod_interface: interface_name(index),
        direction: match way {
            Direction::Egress => proto::Direction::Egress,
            Direction::Ingress => proto::Direction::Ingress,
        }
        .into(),
        packets: sums.packets,
        unknown_packets: sums.unknown,
        cni_ns: sums.cni_ns,
        stages: stages
            .map(|((one, _), sum)| proto::StageSum {
                stage: stage(*one).into(),
                packets: sum.packets,
                total_ns: sum.total_ns,
                packets_by_log2_ns: sum.by_log2_ns.to_vec(),
            })
            .collect(),
    }
}

/// A stage as the wire names it.
const fn stage(stage: Stage) -> proto::Stage {
    match stage {
        Stage::Routing => proto::Stage::Routing,
        Stage::Netfilter => proto::Stage::Netfilter,
        Stage::Conntrack => proto::Stage::Conntrack,
        Stage::Encapsulation => proto::Stage::Encapsulation,
        Stage::Encryption => proto::Stage::Encryption,
        Stage::AfterUplink => proto::Stage::AfterUplink,
    }
}

/// Empty when it is gone.
pub(super) fn interface_name(index: u32) -> String {
    if_indextoname(index)
        // Whoever names an interface may use any byte but a few.
        .map(|name| clean(&name.to_string_lossy()))
        .unwrap_or_default()
}

/// What a probe on a function's entry and one on its return add to a call, in nanoseconds: of a system call that does
/// next to nothing, with empty programs.
fn probe_cost() -> std::io::Result<(u64, u64)> {
    const CALL: &std::ffi::CStr =
        if cfg!(target_arch = "aarch64") { c"__arm64_sys_getppid" } else { c"__x64_sys_getppid" };
    let bare = call_ns();
    let entry = {
        let _probe = EmptyProbe::attach(CALL, false)?;
        call_ns()
    };
    let _probe = EmptyProbe::attach(CALL, true)?;
    Ok((entry.saturating_sub(bare), call_ns().saturating_sub(bare)))
}

/// The quickest of some rounds, per call.
fn call_ns() -> u64 {
    const CALLS: u32 = 1_000;
    let round = || {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(nix::unistd::getppid());
        }
        start.elapsed() / CALLS
    };
    let quickest = (0..10).map(|_| round()).min().unwrap_or_default();
    u64::try_from(quickest.as_nanos()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::stages::Sums;

    #[test]
    fn no_more_pods_are_told_than_the_aggregator_takes() {
        let most = u32::try_from(MOST_STAGE_PODS).expect("few");
        let of = |index| ((index, Direction::Egress), Sums::default());
        let profile = Profile { pods: (0..most + 7).map(of).collect() };
        assert_eq!(pods(&profile).len(), MOST_STAGE_PODS);
    }
}
