//! Building the kernel programs and the daemon that carries them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{command, setup};

const TARGET: &str = "bpfel-unknown-none";

/// A compiler that can build for the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BpfToolchain {
    /// The cargo to call.
    pub(crate) cargo: PathBuf,
    /// The rustc it has to use.
    pub(crate) rustc: PathBuf,
}

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Sets up what is missing, then builds the kernel programs and the release daemon with them in it; returns the daemon.
pub(crate) fn build_all() -> Result<PathBuf> {
    command::watch(cargo()?.args(["build", "--quiet", "--release", "-p", "xcloud-daemon"]))?;
    Ok(target().join("release/xcloud"))
}

/// The host's cargo, for work on a workspace that carries the kernel programs: built, after setting up what is missing.
pub(crate) fn cargo() -> Result<Command> {
    setup::run()?;
    let object = build_bpf(&setup::bpf_toolchain()?)?;
    let mut cargo = host_cargo();
    cargo.env("XCLOUD_EBPF_OBJECT", object);
    Ok(cargo)
}

/// The cargo that runs this program, as if it were called by hand. What it told this program about its own package
/// would have crates whose build looks at such variables built anew each time, and half of all others with them.
pub(crate) fn host_cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    let told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        cargo.env_remove(name);
    }
    cargo
}

/// Builds the kernel programs; returns the object.
pub(crate) fn build_bpf(toolchain: &BpfToolchain) -> Result<PathBuf> {
    let target_dir = target().join("bpf");
    let mut build = Command::new(&toolchain.cargo);
    build
        .args(["build", "--quiet", "--release", "-p", "xcloud-ebpf"])
        .args(["-Z", "build-std=core", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target_dir)
        .current_dir(root())
        .env("RUSTC", &toolchain.rustc)
        // Both are needed by -Z build-std outside a nightly toolchain.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", flags())
        // This program was started by the host's cargo, whose choices must not reach the other one.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTUP_TOOLCHAIN");
    command::watch(&mut build).context("building the kernel programs")?;
    let object = object("xcloud-ebpf");
    ensure!(object.exists(), "the build succeeded but left no {}", object.display());
    Ok(object)
}

/// Programs of the lab's stand-in for a CNI, which are built with the agent's.
pub(crate) fn stand_in() -> Result<PathBuf> {
    let object = object("stand-in");
    ensure!(object.exists(), "there is no {}: build it with `cargo xtask build`", object.display());
    Ok(object)
}

fn object(name: &str) -> PathBuf {
    target().join("bpf").join(TARGET).join("release").join(name)
}

fn flags() -> String {
    let arch = std::env::consts::ARCH;
    let linker = setup::bpf_linker();
    format!(
        "--cfg=bpf_target_arch=\"{arch}\" -Cdebuginfo=2 -Clink-arg=--btf -Ctarget-cpu=v3 -Clinker={}",
        linker.display()
    )
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
