//! Kernels of other Debian releases, unpacked beside this machine's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};

use super::series::Series;
use crate::{apt::Apt, bpf, command};

const META: &str = "linux-image-cloud-amd64";
/// How long an unpacked kernel is used without asking for a newer one.
const FRESH: Duration = Duration::from_hours(7 * 24);

/// An unpacked kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    /// What `uname -r` will say.
    pub(super) release: String,
    /// Holds `vmlinuz` and `lib/modules`.
    pub(super) directory: PathBuf,
}

/// The newest packaged kernel of a series, unpacked below `target/kernels`.
pub(super) fn kernel(series: Series) -> Result<Kernel> {
    let home = bpf::target().join("kernels").join(series.to_string());
    let kept = kept(&home);
    if kept.is_some() && is_fresh(&home.join("release")) {
        return kept.context("no kernel");
    }
    let fetched = fetch(series, &home);
    match (fetched, kept) {
        (Ok(kernel), kept) => {
            if let Some(old) = kept.filter(|old| old.release != kernel.release) {
                fs::remove_dir_all(&old.directory)
                    .with_context(|| format!("removing {}", old.directory.display()))?;
            }
            Ok(kernel)
        }
        (Err(error), Some(kernel)) => {
            eprintln!("xtask: using {} as it is: {error:#}", kernel.release);
            Ok(kernel)
        }
        (Err(error), None) => Err(error.context(format!("getting a Linux {series} from Debian"))),
    }
}

fn kept(home: &Path) -> Option<Kernel> {
    let release = fs::read_to_string(home.join("release")).ok()?;
    let directory = home.join(&release);
    directory.join("vmlinuz").exists().then_some(Kernel { release, directory })
}

fn is_fresh(file: &Path) -> bool {
    let modified = fs::metadata(file).and_then(|facts| facts.modified());
    let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
    age.is_ok_and(|age| age < FRESH)
}

fn fetch(series: Series, home: &Path) -> Result<Kernel> {
    let apt = Apt::new(series.suites(), &home.join("apt"))?;
    let version = apt.newest(META, |version| series.has(version))?;
    let image = apt
        .depends(&format!("{META}={version}"))?
        .into_iter()
        .find(|name| name.starts_with("linux-image-"))
        .with_context(|| format!("{META} {version} names no kernel"))?;
    let release = image.trim_start_matches("linux-image-").to_owned();
    let directory = home.join(&release);
    if !directory.join("vmlinuz").exists() {
        // From 7.x on the image is empty and names its parts.
        let mut packages = apt.depends(&image)?;
        packages.retain(|name| name.ends_with(&release));
        packages.push(image);
        let packages: Vec<_> = packages.iter().map(String::as_str).collect();
        apt.unpack(&packages, &directory)?;
        settle(&directory, &release)?;
    }
    fs::write(home.join("release"), &release)?;
    Ok(Kernel { release, directory })
}

/// Brings the layouts that packages have had to one: `vmlinuz`, `lib/modules`, and the modules' index.
fn settle(directory: &Path, release: &str) -> Result<()> {
    let lib = directory.join("lib");
    if !lib.exists() {
        std::os::unix::fs::symlink("usr/lib", &lib)?;
    }
    command::watch(Command::new("depmod").arg("-b").arg(directory).arg(release))?;
    let images = [format!("boot/vmlinuz-{release}"), format!("usr/lib/modules/{release}/vmlinuz")];
    let image = images
        .into_iter()
        .find(|image| directory.join(image).exists())
        .context("its packages hold no kernel image")?;
    // Last: with it the kernel is complete.
    std::os::unix::fs::symlink(image, directory.join("vmlinuz"))?;
    Ok(())
}
