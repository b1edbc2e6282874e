//! Which of the profile's probes are on. They run for every packet in every namespace, so the kill switch takes them off
//! like any other hook; and a kprobe dies unnoticed with the module its function is in.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::{Context as _, Result};
use aya::{Ebpf, programs::kprobe::KProbeLink};

use super::{HAND_OVER, PROBES, Probe, RunTime, StageCells, Told, load, program, run_times, why};
use crate::kernel::attach::Programs;

/// The profile's probes. An `L` keeps one program on a function until it is dropped.
#[derive(Debug)]
pub struct Probes<L = KProbeLink> {
    told: Vec<Told>,
    /// In the order of `told`; dropped before what ends every stage.
    on: Vec<Option<On<L>>>,
    /// None while the kill switch is there.
    hand_over: Option<On<L>>,
}

/// A function that is probed.
#[derive(Debug)]
struct On<L> {
    /// The beginning first, which is dropped first: a beginning without an end would be counted too long.
    #[expect(dead_code, reason = "held for their drop")]
    links: Vec<L>,
    /// Which life of its module, if it has one.
    life: Option<u64>,
}

/// What probes are put on.
trait Functions<L> {
    /// Puts the probe's programs on its function.
    fn put_on(&mut self, probe: &Probe) -> Result<Vec<L>>;

    /// Which life its module is in: another number after it was loaded anew.
    fn life(&self, probe: &Probe) -> Option<u64>;
}

impl<L> Probes<L> {
    fn start(functions: &mut impl Functions<L>) -> Result<Self> {
        let told = PROBES.map(|probe| Told { probe, missing: Some(String::new()) }).into();
        let mut probes = Self { told, on: PROBES.map(|_| None).into(), hand_over: None };
        probes.put_on(functions)?;
        Ok(probes)
    }

    /// Puts on what there is to put on; none but the end of every stage has to be there.
    fn put_on(&mut self, functions: &mut impl Functions<L>) -> Result<()> {
        let end = On::put_on(functions, &HAND_OVER).with_context(|| {
            format!("stages cannot be told apart without a kprobe on {}", HAND_OVER.function)
        })?;
        self.hand_over = Some(end);
        self.retry(functions);
        Ok(())
    }

    /// Tries again where the function was not there, or is not the same any more. Nothing is put on while all are off.
    fn retry(&mut self, functions: &mut impl Functions<L>) {
        if self.hand_over.is_none() {
            return;
        }
        for (told, on) in self.told.iter_mut().zip(&mut self.on) {
            if on.as_ref().is_some_and(|on| on.life == functions.life(&told.probe)) {
                continue;
            }
            *on = None;
            match On::put_on(functions, &told.probe) {
                Ok(put) => (*on, told.missing) = (Some(put), None),
                Err(error) => told.missing = Some(why(&told.probe, &error)),
            }
        }
    }

    fn take_off(&mut self) {
        for (told, on) in self.told.iter_mut().zip(&mut self.on) {
            *on = None;
            told.missing = Some(format!("{}: off, the kill switch is there", told.probe.function));
        }
        self.hand_over = None;
    }
}

impl<L> On<L> {
    fn put_on(functions: &mut impl Functions<L>, probe: &Probe) -> Result<Self> {
        // Asked before: a module loaded anew in between is then seen as such.
        let life = functions.life(probe);
        Ok(Self { links: functions.put_on(probe)?, life })
    }
}

impl Functions<KProbeLink> for Ebpf {
    fn put_on(&mut self, probe: &Probe) -> Result<Vec<KProbeLink>> {
        let mut links = Vec::new();
        // The end is put on first, too.
        for name in [probe.exit, Some(probe.entry)].into_iter().flatten() {
            let program = program(self, name)?;
            let link = program.attach(probe.function, 0)?;
            links.insert(0, program.take_link(link)?);
        }
        Ok(links)
    }

    fn life(&self, probe: &Probe) -> Option<u64> {
        let module = Path::new("/sys/module").join(probe.module?);
        fs::metadata(module).ok().map(|about| about.ino())
    }
}

impl Programs {
    /// Loads and attaches the stage profile's probes, which the plan must have asked for; returns what they find out.
    ///
    /// # Errors
    /// The kernel has no kprobes, or refuses a program.
    pub fn start_stages(&mut self) -> Result<StageCells> {
        load(&mut self.ebpf)?;
        self.stages = Some(Probes::start(&mut self.ebpf)?);
        StageCells::take(&mut self.ebpf)
    }

    /// Tries the stage profile's functions again that were not there, or whose module was loaded anew.
    pub fn retry_stages(&mut self) {
        if let Some(probes) = &mut self.stages {
            probes.retry(&mut self.ebpf);
        }
    }

    /// Takes the stage profile's probes off, if there are any.
    pub fn detach_stages(&mut self) {
        if let Some(probes) = &mut self.stages {
            probes.take_off();
        }
    }

    /// Puts them on again.
    ///
    /// # Errors
    /// The kernel refuses the one without which nothing can be measured.
    pub fn attach_stages(&mut self) -> Result<()> {
        self.stages.as_mut().map_or(Ok(()), |probes| probes.put_on(&mut self.ebpf))
    }

    /// Which functions the stage profile probes.
    #[must_use]
    pub fn stages(&self) -> &[Told] {
        self.stages.as_ref().map_or(&[], |probes| probes.told.as_slice())
    }

    /// Runs and nanoseconds of the stage profile's programs.
    ///
    /// # Errors
    /// They are not loaded.
    pub fn stage_run_times(&mut self) -> Result<Vec<RunTime>> {
        run_times(&mut self.ebpf)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::BTreeMap, io, rc::Rc};

    use super::*;

    /// Programs that are on, in the order they came.
    type Board = Rc<RefCell<Vec<&'static str>>>;

    /// Takes its program off the board when it is dropped.
    #[derive(Debug)]
    struct Pin(&'static str, Board);

    impl Drop for Pin {
        fn drop(&mut self) {
            let mut board = self.1.borrow_mut();
            let at = board.iter().rposition(|name| *name == self.0).expect("it is on");
            board.remove(at);
        }
    }

    /// A kernel with these modules, each in this life.
    struct Fake {
        board: Board,
        modules: BTreeMap<&'static str, u64>,
    }

    impl Functions<Pin> for Fake {
        fn put_on(&mut self, probe: &Probe) -> Result<Vec<Pin>> {
            if probe.module.is_some_and(|module| !self.modules.contains_key(module)) {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            self.board.borrow_mut().push(probe.function);
            Ok(vec![Pin(probe.function, Rc::clone(&self.board))])
        }

        fn life(&self, probe: &Probe) -> Option<u64> {
            self.modules.get(probe.module?).copied()
        }
    }

    fn missing(probes: &Probes<Pin>, function: &str) -> Option<String> {
        let told = probes.told.iter().find(|told| told.probe.function == function);
        told.expect("a probe").missing.clone()
    }

    fn started() -> (Fake, Probes<Pin>) {
        let modules = [("nf_conntrack", 1), ("vxlan", 2)].into();
        let mut kernel = Fake { board: Board::default(), modules };
        let probes = Probes::start(&mut kernel).expect("started");
        (kernel, probes)
    }

    const ON: [&str; 6] = [
        "__dev_queue_xmit",
        "ip_route_input_noref",
        "ip6_route_input",
        "nf_hook_slow",
        "nf_conntrack_in",
        "vxlan_xmit",
    ];

    #[test]
    fn off_they_all_are_and_a_retry_puts_none_on() {
        let (mut kernel, mut probes) = started();
        assert_eq!(*kernel.board.borrow(), ON, "what ends every stage is there first");
        probes.take_off();
        assert!(kernel.board.borrow().is_empty());
        probes.retry(&mut kernel);
        assert!(kernel.board.borrow().is_empty());
        for told in &probes.told {
            let why = told.missing.as_deref().expect("told as missing");
            assert!(why.ends_with("off, the kill switch is there"), "{why}");
        }
    }

    #[test]
    fn on_again_they_are_as_at_the_start() {
        let (mut kernel, mut probes) = started();
        probes.take_off();
        probes.put_on(&mut kernel).expect("put on");
        assert_eq!(*kernel.board.borrow(), ON);
        assert_eq!(missing(&probes, "vxlan_xmit"), None);
        let why = missing(&probes, "wg_xmit").expect("missing");
        assert_eq!(why, "wg_xmit: module wireguard is not loaded");
    }

    #[test]
    fn one_whose_module_was_unloaded_is_missing_and_comes_back_with_it() {
        let (mut kernel, mut probes) = started();
        kernel.modules.remove("vxlan");
        probes.retry(&mut kernel);
        let why = missing(&probes, "vxlan_xmit").expect("missing");
        assert_eq!(why, "vxlan_xmit: module vxlan is not loaded");
        assert!(!kernel.board.borrow().contains(&"vxlan_xmit"));
        for life in [3, 4] {
            // Gone and back between two looks, the second time.
            kernel.modules.insert("vxlan", life);
            probes.retry(&mut kernel);
            assert_eq!(missing(&probes, "vxlan_xmit"), None);
            assert_eq!(*kernel.board.borrow(), ON);
            let at = probes.told.iter().position(|told| told.probe.module == Some("vxlan"));
            let on = probes.on[at.expect("a probe")].as_ref().expect("it is on");
            assert_eq!(on.life, Some(life), "put on anew");
        }
    }
}
