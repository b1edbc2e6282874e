//! Another agent's program: lets every packet pass and ends the chain, as Cilium's and AWS's do.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use aya::programs::{
    LinkOrder, SchedClassifier, TcAttachType,
    tc::{self, NlOptions, TcAttachOptions, TcHandle},
};

use crate::node::{Backend, Node, POD};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_PIN: libc::c_long = 6;
const SCHED_CLS: u32 = 3;
/// `r0 = TC_ACT_OK; exit`
const PASS: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 4],
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    rest: [u64; 8],
}

#[repr(C)]
struct Pin {
    path: u64,
    fd: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_long, attr: &mut T) -> i32 {
    // SAFETY: the attribute is the layout the command reads, and what it points to outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    assert!(result >= 0, "bpf({command}): {}", std::io::Error::last_os_error());
    i32::try_from(result).expect("a descriptor")
}

/// On the way from the pod; dropping it takes it off.
pub(crate) struct Impostor(#[expect(dead_code, reason = "held for its drop")] SchedClassifier);

/// Leaves a filter with the agent's priority and handle at the pod's own end.
pub(crate) fn leave_inside(node: &Node, name: &str, handle: u32) {
    let mut program = load(node, name, handle);
    node.pod.run(|| {
        // Mostly there already.
        let _ = tc::qdisc_add_clsact("eth0");
        let options =
            NlOptions { priority: 1, handle: TcHandle::from(handle), ..NlOptions::default() };
        let options = TcAttachOptions::Netlink(options);
        program.attach_with_options("eth0", TcAttachType::Ingress, options).expect("attaching");
    });
    // Dropped, it would be taken off whatever has this number here.
    std::mem::forget(program);
}

impl Impostor {
    /// Attaches it first, at clsact with priority 1 and a handle.
    pub(crate) fn attach(node: &Node, name: &str, handle: u32, backend: Backend) -> Self {
        let mut program = load(node, name, handle);
        node.node.run(|| {
            let options = match backend {
                Backend::Tcx => TcAttachOptions::TcxOrder(LinkOrder::first()),
                Backend::Clsact => {
                    // Mostly there already.
                    let _ = tc::qdisc_add_clsact(POD);
                    let handle = TcHandle::from(handle);
                    TcAttachOptions::Netlink(NlOptions {
                        priority: 1,
                        handle,
                        ..NlOptions::default()
                    })
                }
            };
            program.attach_with_options(POD, TcAttachType::Ingress, options).expect("attaching");
        });
        Self(program)
    }
}

/// Aya takes programs from objects and pins only.
fn load(node: &Node, name: &str, number: u32) -> SchedClassifier {
    let mut attr = Load {
        kind: SCHED_CLS,
        count: 2,
        instructions: PASS.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        ..Load::default()
    };
    attr.name[..name.len()].copy_from_slice(name.as_bytes());
    let fd = bpf(BPF_PROG_LOAD, &mut attr);
    // SAFETY: a descriptor just made, owned by nobody else.
    let program = unsafe { OwnedFd::from_raw_fd(fd) };
    let path = node.bpffs().join(format!("impostor-{name}-{number}"));
    let terminated = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
    let fd = program.as_raw_fd().cast_unsigned();
    bpf(BPF_OBJ_PIN, &mut Pin { path: terminated.as_ptr() as u64, fd, flags: 0 });
    let pinned = SchedClassifier::from_pin(&path).expect("the pinned program");
    std::fs::remove_file(&path).expect("removing the pin");
    pinned
}
