//! What loading costs the verifier. `cargo xtask kernels` runs this by itself on each kernel and holds the figures
//! against what they were.

use aya::{
    Btf,
    programs::{Program, ProgramError},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use xcloud::kernel::object::{self, Extras};

use crate::harness;

#[test]
#[ignore = "a process of its own, as it changes this process's limits"]
fn accepts_every_program() {
    if !harness::available() {
        return;
    }
    // With the account, without which the verifier has less to do.
    let extras = Extras { account: true, ..Extras::default() };
    let mut ebpf = object::load_for(extras).expect("loading the kernel object");
    let types = Btf::from_sys_fs().expect("the kernel's types");
    for (name, program) in ebpf.programs_mut() {
        load(program, &types).unwrap_or_else(|error| panic!("{name}: {error}"));
        let told = program.info().expect("the program's facts").verified_instruction_count();
        let count = told.unwrap_or_else(|| count_by_log(program, &types));
        println!("verifier {name} {count}");
    }
}

fn load(program: &mut Program, types: &Btf) -> Result<(), ProgramError> {
    match program {
        Program::SchedClassifier(program) => program.load(),
        Program::BtfTracePoint(program) => program.load("net_dev_start_xmit", types),
        Program::RawTracePoint(program) => program.load(),
        Program::KProbe(program) => program.load(),
        other => panic!("no program of type {:?} is expected", other.prog_type()),
    }
}

/// Kernels before 5.16 keep no count. Their log has it, which Aya asks for when a load fails: here for want of a
/// descriptor, after the verifier is through.
fn count_by_log(program: &mut Program, types: &Btf) -> u32 {
    match program {
        Program::SchedClassifier(program) => program.unload(),
        Program::BtfTracePoint(program) => program.unload(),
        Program::RawTracePoint(program) => program.unload(),
        Program::KProbe(program) => program.unload(),
        other => panic!("no program of type {:?} is expected", other.prog_type()),
    }
    .expect("unloading");
    let (files, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit on files");
    setrlimit(Resource::RLIMIT_NOFILE, 0, most).expect("allowing no more files");
    let refused = load(program, types).expect_err("a load without a descriptor").to_string();
    setrlimit(Resource::RLIMIT_NOFILE, files, most).expect("allowing files again");
    let count = refused.split_once("processed ").and_then(|(_, rest)| rest.split_once(' '));
    count.and_then(|(count, _)| count.parse().ok()).unwrap_or_else(|| panic!("no count: {refused}"))
}
