//! What booting other kernels takes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{KEYRING, install, missing_tools};
use crate::{apt::Apt, bpf, command};

const TOOLS: [(&str, &str); 5] = [
    ("qemu-system-x86_64", QEMU),
    ("busybox", "busybox-static"),
    ("modprobe", "kmod"),
    ("cpio", "cpio"),
    ("xz", "xz-utils"),
];
const QEMU: &str = "qemu-system-x86";
/// The release whose QEMU brings virtiofsd; in later ones it is a package of its own, in its backports it is nowhere.
const BRINGS_VIRTIOFSD: &str = "bookworm";

/// Installs what booting other kernels takes, beyond what all takes.
pub(crate) fn for_guests() -> Result<()> {
    let mut packages = missing_tools(&TOOLS);
    if !Path::new(KEYRING).exists() {
        packages.push("debian-archive-keyring");
    }
    let (qemu, others): (Vec<_>, Vec<_>) = packages.into_iter().partition(|one| *one == QEMU);
    install(&others)?;
    if !qemu.is_empty() {
        install_qemu()?;
    }
    if virtiofsd().is_none() { install_virtiofsd() } else { Ok(()) }
}

/// The daemon that shows a guest this machine's files.
pub(crate) fn virtiofsd() -> Option<PathBuf> {
    let own = unpacked().join("usr/lib/qemu/virtiofsd");
    let places = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"].map(PathBuf::from);
    places.into_iter().chain([own]).find(|path| path.is_file())
}

fn install_qemu() -> Result<()> {
    if !is_backported() {
        return install(&[QEMU]);
    }
    // Its parts do not go with those of another version, and the sources need not name where the others came from.
    let release = release().context("/etc/os-release does not name the release")?;
    let backports = format!("{release}-backports");
    Apt::new(&[&release, &backports], &home())?.install(&backports, &[QEMU])
}

fn install_virtiofsd() -> Result<()> {
    if release().as_deref() != Some(BRINGS_VIRTIOFSD) {
        return install(&["virtiofsd"]);
    }
    Apt::new(&[BRINGS_VIRTIOFSD], &home())?.unpack(&["qemu-system-common"], &unpacked())
}

/// Whether what this machine has of QEMU is of its release's backports.
fn is_backported() -> bool {
    let mut asked = Command::new("dpkg-query");
    asked.args(["--show", "--showformat", "${Version}", "qemu-utils"]);
    command::output(&mut asked).is_ok_and(|version| version.contains("~bpo"))
}

/// The name of this machine's release; rolling distributions have none.
fn release() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=").map(str::to_owned))
}

fn home() -> PathBuf {
    bpf::target().join("tools/apt")
}

fn unpacked() -> PathBuf {
    bpf::target().join("tools/qemu-system-common")
}
