//! Kernels of other Debian releases, by an apt configuration of their own: nothing of this machine's packages changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};

use super::series::Series;
use crate::{bpf, command, setup::KEYRING};

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
    let apt = Apt::new(series, &home.join("apt"))?;
    let version = apt.newest(series)?;
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

/// apt with a configuration of its own.
struct Apt {
    home: PathBuf,
    said: String,
}

impl Apt {
    fn new(series: Series, home: &Path) -> Result<Self> {
        for directory in
            ["etc/apt.conf.d", "etc/preferences.d", "lists/partial", "archives/partial"]
        {
            fs::create_dir_all(home.join(directory))?;
        }
        fs::write(home.join("status"), "")?;
        let at = home.display();
        let config = format!(
            "Dir::Etc \"{at}/etc\";\nDir::Etc::SourceList \"sources.list\";\nDir::State::Lists \"{at}/lists\";\n\
             Dir::State::status \"{at}/status\";\nDir::Cache \"{at}\";\nAPT::Architectures {{\"amd64\";}};\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nAcquire::Check-Valid-Until \"false\";\n"
        );
        fs::write(home.join("apt.conf"), config)?;
        let sources = sources(series)?;
        fs::write(home.join("etc/sources.list"), sources.join("\n") + "\n")?;
        let mut apt = Self { home: home.to_owned(), said: String::new() };
        let mut update = apt.command("apt-get");
        update.args(["-qq", "-o", "APT::Update::Error-Mode=any", "update"]);
        // One of several sources may be gone: whether a kernel is found decides.
        if let Err(error) = command::output(&mut update) {
            apt.said = format!(". Tried:\n  {}\napt said: {error:#}", sources.join("\n  "));
        }
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.home.join("apt.conf")).env("LC_ALL", "C");
        command
    }

    /// apt lists versions from new to old.
    fn newest(&self, series: Series) -> Result<String> {
        let listed = command::output(self.command("apt-cache").args(["madison", META]))?;
        listed
            .lines()
            .filter_map(|line| line.split('|').nth(1))
            .map(str::trim)
            .find(|version| series.has(version))
            .map(String::from)
            .with_context(|| format!("no {META} of {series} in the package lists{}", self.said))
    }

    /// Names of the packages that one depends on.
    fn depends(&self, package: &str) -> Result<Vec<String>> {
        let shown = command::output(self.command("apt-cache").args(["show", package]))?;
        let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "));
        let names = depends
            .unwrap_or_default()
            .split(',')
            .filter_map(|one| one.split(' ').find(|w| !w.is_empty()));
        Ok(names.map(String::from).collect())
    }

    fn unpack(&self, packages: &[String], directory: &Path) -> Result<()> {
        eprintln!("xtask: fetching {}", packages.join(" "));
        let archives = self.home.join("archives");
        let mut download = self.command("apt-get");
        command::output(download.args(["-qq", "download"]).args(packages).current_dir(&archives))
            .context("downloading packages")?;
        let archives = fs::read_dir(&archives)?.collect::<std::io::Result<Vec<_>>>()?;
        for archive in archives.iter().map(fs::DirEntry::path).filter(|path| path.is_file()) {
            command::output(Command::new("dpkg").arg("-x").arg(&archive).arg(directory))?;
            fs::remove_file(&archive)?;
        }
        ensure!(directory.exists(), "apt-get download left no package");
        Ok(())
    }
}

/// The sources of a series' packages: where this machine gets its own from, so it must be a Debian.
fn sources(series: Series) -> Result<Vec<String>> {
    let mut asked = Command::new("apt-get");
    asked.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let own = command::output(&mut asked).unwrap_or_default();
    let uri = |last: &str| {
        let mut uris = own.lines().map(|uri| uri.trim_end_matches('/'));
        let found = uris.find(|uri| uri.rsplit('/').next() == Some(last)).map(str::to_owned);
        found.with_context(|| {
            format!("none of this machine's apt sources is Debian's: no address ends in /{last}")
        })
    };
    let (main, security) = (uri("debian")?, uri("debian-security")?);
    let line = |suite: &&str| {
        let uri = if suite.ends_with("-security") { &security } else { &main };
        format!("deb [signed-by={KEYRING}] {uri} {suite} main")
    };
    Ok(series.suites().iter().map(line).collect())
}
