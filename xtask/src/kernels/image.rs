//! The initial file system of a guest: busybox, the modules that reach this machine's files, and a script.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::packages::Kernel;
use crate::{command, setup};

/// Modules that lead to the root file system; a kernel that has one built in names no file for it.
const MODULES: [&str; 3] = ["virtio_pci", "virtiofs", "overlay"];
/// What a guest prints in front of its command's exit status.
pub(super) const STATUS: &str = "xcloud-guest-status:";

const INIT: &str = include_str!("init.sh");

/// Writes an initial file system that runs `words` in `directory` to `image`.
pub(super) fn write(kernel: &Kernel, words: &[String], cwd: &Path, image: &Path) -> Result<()> {
    let tree = image.with_extension("d");
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir_all(tree.join("modules"))?;
    let busybox = setup::find("busybox").context("no busybox: run cargo xtask kernels as root")?;
    fs::copy(&busybox, tree.join("busybox")).context("copying busybox")?;
    fs::write(tree.join("insmod"), modules(kernel, &tree)?)?;
    fs::write(tree.join("session"), session(kernel, words, cwd))?;
    fs::write(tree.join("init"), INIT)?;
    fs::set_permissions(tree.join("init"), fs::Permissions::from_mode(0o755))?;
    pack(&tree, image)?;
    fs::remove_dir_all(&tree)?;
    Ok(())
}

/// Unpacks the modules and returns their names in the order they are to be loaded in.
fn modules(kernel: &Kernel, tree: &Path) -> Result<String> {
    let (mut seen, mut order) = (BTreeSet::new(), String::new());
    for module in MODULES {
        let mut asked = Command::new("modprobe");
        asked.arg("-d").arg(&kernel.directory).args(["-S", &kernel.release, "--show-depends"]);
        let shown = command::output(asked.arg(module))?;
        for path in shown.lines().filter_map(|line| line.strip_prefix("insmod ")) {
            let path = PathBuf::from(path.trim());
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if seen.insert(name.clone()) {
                let plain = name.trim_end_matches(".xz");
                place(&path, &tree.join("modules").join(plain))?;
                order += &format!("{plain}\n");
            }
        }
    }
    Ok(order)
}

fn place(module: &Path, to: &Path) -> Result<()> {
    if module.extension().is_none_or(|end| end != "xz") {
        fs::copy(module, to).with_context(|| format!("copying {}", module.display()))?;
        return Ok(());
    }
    let mut unpack = Command::new("xz");
    let status = unpack.arg("-dc").arg(module).stdout(File::create(to)?).status();
    ensure!(status.context("starting xz")?.success(), "{unpack:?} failed");
    Ok(())
}

/// What runs on the machine's own files, as process 1 so that the kernel finds modprobe.
fn session(kernel: &Kernel, words: &[String], cwd: &Path) -> String {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let words: Vec<_> = words.iter().map(|word| quote(word)).collect();
    let modules = kernel.directory.join("lib/modules").join(&kernel.release);
    [
        "exec </dev/null >/dev/ttyS1 2>/dev/ttyS0".into(),
        format!(
            "export HOME={} PATH={} TERM=dumb CI=1",
            quote(&variable("HOME")),
            quote(&variable("PATH"))
        ),
        format!("mkdir -p /lib/modules/{}", kernel.release),
        format!(
            "mount --bind {} /lib/modules/{}",
            quote(&modules.to_string_lossy()),
            kernel.release
        ),
        "modprobe tun".into(),
        "ip link set lo up".into(),
        format!("cd {}", quote(&cwd.to_string_lossy())),
        format!("{}; status=$?", words.join(" ")),
        format!("printf '\\n{STATUS}%d\\n' $status"),
        "echo o > /proc/sysrq-trigger".into(),
        "sleep 60".into(),
    ]
    .map(|line| line + "\n")
    .concat()
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn pack(tree: &Path, image: &Path) -> Result<()> {
    let mut files = Command::new("find")
        .arg(".")
        .current_dir(tree)
        .stdout(Stdio::piped())
        .spawn()
        .context("starting find")?;
    let names = files.stdout.take().context("no output of find")?;
    let mut cpio = Command::new("cpio");
    cpio.args(["--quiet", "-o", "-H", "newc"]).current_dir(tree).stdin(names);
    let packed = cpio.stdout(File::create(image)?).status().context("starting cpio")?;
    ensure!(files.wait()?.success() && packed.success(), "packing {} failed", image.display());
    Ok(())
}
