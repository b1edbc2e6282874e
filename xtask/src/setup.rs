//! What building and testing needs and a fresh machine lacks. Asks before it installs, so it costs little when
//! everything is there.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::Uid;

use crate::{
    bpf::{self, BpfToolchain},
    chart::GO_PATH,
    command,
};

mod collectors;
mod guests;

pub(crate) use collectors::collectors;
pub(crate) use guests::{for_guests, virtiofsd};

/// The LLVM that compiler and linker must share.
const LLVM: &str = "22";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
const BPF_LINKER: &str = "0.13.0";
/// Another implementation of STAMP, which tests talk to.
const STAMP_SUITE: &str = "1.0.0";

/// Programs needed, and the Debian packages they come in.
const TOOLS: [(&str, &str); 10] = [
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("cc", "build-essential"),
    ("tcpdump", "tcpdump"),
    ("iperf3", "iperf3"),
    ("ping", "iputils-ping"),
    ("curl", "curl"),
    ("nft", "nftables"),
    ("wg", "wireguard-tools"),
    ("tmux", "tmux"),
];
/// What load tests are tried against, in tests and benchmarks.
const LOAD_TOOLS: [(&str, &str); 2] = [("nginx", NGINX), ("wrk", "wrk")];
const NGINX: &str = "nginx-light";
/// Programs that building and running a cluster takes.
const CLUSTER_TOOLS: [(&str, &str); 6] = [
    ("openssl", "openssl"),
    ("iptables", "iptables"),
    ("busybox", "busybox-static"),
    ("make", "build-essential"),
    // Kubernetes' own build calls it.
    ("rsync", "rsync"),
    ("nsenter", "util-linux"),
];
/// What renders and checks manifests.
const CHART_TOOLS: [(&str, &str); 3] =
    [("go", "golang-go"), ("yamllint", "yamllint"), ("shellcheck", "shellcheck")];
/// Go libraries that Helm and Terraform are made of, by where Debian keeps them.
const GO_LIBRARIES: [(&str, &str); 4] = [
    ("github.com/Masterminds/sprig", "golang-github-masterminds-sprig-dev"),
    ("github.com/xeipuuv/gojsonschema", "golang-github-xeipuuv-gojsonschema-dev"),
    ("github.com/hashicorp/hcl/v2", "golang-github-hashicorp-hcl-v2-dev"),
    ("sigs.k8s.io/yaml", "golang-k8s-sigs-yaml-dev"),
];
/// Vouches for Debian's packages.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// A compiler with matching source, for kernels.
const COMPILER: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// What installing never does: remove or bring what nobody asked for.
pub(crate) const INSTALL: [&str; 4] = ["install", "-y", "--no-remove", "--no-install-recommends"];

/// Installs what is missing; does nothing when nothing is.
pub(crate) fn run() -> Result<()> {
    let mut packages = missing_tools(&TOOLS);
    if bpf_toolchain().is_err() && !add_rust_src() {
        packages.extend(COMPILER);
    }
    if linker_version().is_none() && !Path::new(LLVM_PREFIX).exists() {
        packages.push("llvm-22-dev");
    }
    install(&packages)?;
    bpf_toolchain()?;
    install_linker()
}

/// Installs what load tests are tried against, beyond [`run`].
pub(crate) fn for_load() -> Result<()> {
    let packages = missing_tools(&LOAD_TOOLS);
    install(&packages)?;
    if packages.contains(&NGINX) {
        // Debian starts it on port 80, for which nobody asked. It fails where no services run, and then none was started.
        quiet("nginx");
    }
    Ok(())
}

/// Installs what a cluster takes, beyond [`run`].
pub(crate) fn for_cluster() -> Result<()> {
    let mut packages = missing_tools(&CLUSTER_TOOLS);
    if !Path::new(KEYRING).exists() {
        packages.push("debian-archive-keyring");
    }
    install(&packages)
}

/// Installs what rendering and checking manifests takes, beyond [`run`].
pub(crate) fn for_chart() -> Result<()> {
    install(&[missing_tools(&CHART_TOOLS), missing_libraries(&GO_LIBRARIES)].concat())
}

/// Installs what a static binary for `target` takes, beyond [`run`].
pub(crate) fn for_image(target: &str) -> Result<()> {
    install(&missing_tools(&[("musl-gcc", "musl-tools"), ("strip", "binutils")]))?;
    let sysroot = command::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(target).is_dir() {
        return Ok(());
    }
    eprintln!("xtask: asking rustup for the standard library of {target}");
    command::watch(Command::new("rustup").args(["target", "add", target])).with_context(|| {
        format!("there is no standard library for {target}, and rustup could not get it")
    })
}

fn missing_libraries(libraries: &[(&str, &'static str)]) -> Vec<&'static str> {
    let sources = Path::new(GO_PATH).join("src");
    let missing = libraries.iter().filter(|(library, _)| !sources.join(library).is_dir());
    missing.map(|(_, package)| *package).collect()
}

/// Whether packages can be had at all.
pub(crate) fn has_apt() -> bool {
    find("apt-get").is_some()
}

fn missing_tools(tools: &[(&str, &'static str)]) -> Vec<&'static str> {
    let missing = tools.iter().filter(|(tool, _)| find(tool).is_none());
    let mut packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

/// Where `program` is; administrators' directories are looked at even when they are not in `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut all = env::split_paths(&path).chain(more);
    all.find_map(|directory| Some(directory.join(program)).filter(|file| file.is_file()))
}

/// A compiler that can build the kernel programs: the active toolchain when it has its own source, otherwise the
/// distribution's.
pub(crate) fn bpf_toolchain() -> Result<BpfToolchain> {
    let mut refused = Vec::new();
    for rustc in ["rustc", "/usr/bin/rustc"] {
        match toolchain(rustc) {
            Ok(toolchain) => return Ok(toolchain),
            Err(error) => refused.push(format!("{rustc}: {error:#}")),
        }
    }
    bail!(
        "no compiler for the kernel programs ({}): run `cargo xtask setup` as root, or `rustup component add rust-src`",
        refused.join("; ")
    )
}

fn toolchain(rustc: &str) -> Result<BpfToolchain> {
    let version = command::output(Command::new(rustc).arg("-vV"))?;
    let llvm = version.lines().find_map(|l| l.strip_prefix("LLVM version: "));
    let llvm = llvm.context("does not say which LLVM it has")?;
    if llvm.split('.').next() != Some(LLVM) {
        bail!("has LLVM {llvm}, but bpf-linker {BPF_LINKER} is built with LLVM {LLVM}");
    }
    let sysroot = command::output(Command::new(rustc).args(["--print", "sysroot"]))?;
    let sysroot = Path::new(sysroot.trim());
    if !sysroot.join("lib/rustlib/src/rust/library/core").exists() {
        bail!("its own source (rust-src) is not installed");
    }
    Ok(BpfToolchain { cargo: sysroot.join("bin/cargo"), rustc: sysroot.join("bin/rustc") })
}

/// Tries to get the active toolchain's source; that needs rustup and its servers.
fn add_rust_src() -> bool {
    let Some(rustup) = find("rustup") else {
        return false;
    };
    eprintln!("xtask: asking rustup for rust-src");
    let added = command::output(Command::new(rustup).args(["component", "add", "rust-src"]));
    if let Err(error) = &added {
        let why = format!("{error:#}");
        let why = why.lines().last().unwrap_or_default();
        eprintln!("xtask: not to be had, using the distribution's packages ({why})");
    }
    added.is_ok() && bpf_toolchain().is_ok()
}

fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let apt = AptGet(packages);
    if !has_apt() {
        bail!(
            "missing here: what Debian calls {}. Install your distribution's packages of the same content, or a \
             rustup toolchain with rust-src in place of {}",
            packages.join(" "),
            COMPILER.join(" ")
        );
    }
    if !Uid::effective().is_root() {
        bail!("missing packages, and no right to install them. Run as root:\n{apt}");
    }
    eprintln!("xtask: installing {}", packages.join(" "));
    let run = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command::watch(command.arg("-qq").args(arguments))
    };
    run(&["update"])
        // rustc-web conflicts with Debian's own rustup package: better an error than a removal.
        .and_then(|()| run(&[&INSTALL, packages].concat()))
        .with_context(|| format!("installing packages failed. What was tried:\n{apt}"))
}

struct AptGet<'a>(&'a [&'a str]);

impl fmt::Display for AptGet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packages = self.0.join(" ");
        write!(f, "  apt-get update\n  apt-get {} {packages}", INSTALL.join(" "))
    }
}

/// The linker of kernel programs; a bare name when it is not where cargo installs things.
pub(crate) fn bpf_linker() -> PathBuf {
    find("bpf-linker")
        .or_else(|| Some(cargo_home()?.join("bin/bpf-linker")).filter(|path| path.is_file()))
        .unwrap_or_else(|| "bpf-linker".into())
}

/// Where cargo keeps what it gets.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")))
}

fn linker_version() -> Option<String> {
    command::output(Command::new(bpf_linker()).arg("--version")).ok()
}

fn install_linker() -> Result<()> {
    if linker_version().is_some_and(|version| version.contains(BPF_LINKER)) {
        return Ok(());
    }
    eprintln!("xtask: building bpf-linker {BPF_LINKER} with LLVM {LLVM}, about a minute");
    let feature = format!("llvm-{LLVM}");
    let mut command = Command::new("cargo");
    command
        .env("LLVM_PREFIX", LLVM_PREFIX)
        .args(["install", "--quiet", "--force", "bpf-linker", "--version", BPF_LINKER])
        .args(["--no-default-features", "--features", &feature]);
    command::watch(&mut command).with_context(|| {
        format!("installing bpf-linker failed: it needs LLVM {LLVM} at {LLVM_PREFIX} and the crate registry")
    })
}

/// Installs what only tests need: another implementation of STAMP, in `target/tools`.
pub(crate) fn install_stamp_suite() -> Result<()> {
    let tools = bpf::root().join("target/tools");
    let there = Command::new(tools.join("bin/stamp-suite")).arg("--version").output();
    if there.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(STAMP_SUITE)) {
        return Ok(());
    }
    eprintln!("xtask: building stamp-suite {STAMP_SUITE}, some minutes");
    let mut command = Command::new("cargo");
    command
        .args([
            "install",
            "--quiet",
            "--locked",
            "--force",
            "stamp-suite",
            "--version",
            STAMP_SUITE,
        ])
        .arg("--root")
        .arg(&tools);
    command::watch(&mut command)
        .context("installing stamp-suite failed: it needs the crate registry")
}

/// Ends a service that came with its package, and keeps it from coming again.
fn quiet(service: &str) {
    for words in [["service", service, "stop"], ["update-rc.d", service, "disable"]] {
        if let Err(error) = command::output(Command::new(words[0]).args(&words[1..])) {
            eprintln!("xtask: {}: {error:#}", words.join(" "));
        }
    }
}

/// Installs what only checking dependencies needs.
pub(crate) fn install_cargo_deny() -> Result<()> {
    if command::output(Command::new("cargo").args(["deny", "--version"])).is_ok() {
        return Ok(());
    }
    eprintln!("xtask: building cargo-deny, some minutes");
    let mut command = Command::new("cargo");
    command.args(["install", "--quiet", "--locked", "cargo-deny"]);
    command::watch(&mut command).context("installing cargo-deny failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_root_the_exact_commands_are_shown() {
        let shown = AptGet(&["iproute2", "curl"]).to_string();
        assert_eq!(
            shown,
            "  apt-get update\n  apt-get install -y --no-remove --no-install-recommends iproute2 curl"
        );
    }

    #[test]
    fn programs_are_found() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
