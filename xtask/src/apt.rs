//! Packages of other Debian releases, by an apt configuration of their own: this machine's lists do not change.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    command,
    setup::{INSTALL, KEYRING},
};

/// apt with a configuration of its own.
#[derive(Debug)]
pub(crate) struct Apt {
    home: PathBuf,
    said: String,
}

impl Apt {
    /// Reads the lists of `suites`, keeping what is apt's own below `home`.
    pub(crate) fn new(suites: &[&str], home: &Path) -> Result<Self> {
        Self::with_sources(suites, &[], home)
    }

    /// The same, and the lists of source packages of `sources`.
    pub(crate) fn with_sources(suites: &[&str], sources: &[&str], home: &Path) -> Result<Self> {
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
        let mut lines = lines("deb", suites)?;
        lines.extend(self::lines("deb-src", sources)?);
        fs::write(home.join("etc/sources.list"), lines.join("\n") + "\n")?;
        let mut apt = Self { home: home.to_owned(), said: String::new() };
        let mut update = apt.command("apt-get");
        update.args(["-qq", "-o", "APT::Update::Error-Mode=any", "update"]);
        // One of several sources may be gone: whether a package is found decides.
        if let Err(error) = command::output(&mut update) {
            apt.said = format!(". Tried:\n  {}\napt said: {error:#}", lines.join("\n  "));
        }
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.home.join("apt.conf")).env("LC_ALL", "C");
        command
    }

    /// The newest version of `package` that is `wanted`.
    pub(crate) fn newest(&self, package: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        // apt lists versions from new to old.
        let listed = command::output(self.command("apt-cache").args(["madison", package]))?;
        listed
            .lines()
            .filter_map(|line| line.split('|').nth(1))
            .map(str::trim)
            .find(|version| wanted(version))
            .map(String::from)
            .with_context(|| format!("no {package} as wanted in the package lists{}", self.said))
    }

    /// Names of the packages that one depends on.
    pub(crate) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let shown = command::output(self.command("apt-cache").args(["show", package]))?;
        let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "));
        let names = depends
            .unwrap_or_default()
            .split(',')
            .filter_map(|one| one.split(' ').find(|w| !w.is_empty()));
        Ok(names.map(String::from).collect())
    }

    /// Puts the files of `packages` below `directory`.
    pub(crate) fn unpack(&self, packages: &[&str], directory: &Path) -> Result<()> {
        eprintln!("xtask: fetching {}", packages.join(" "));
        let archives = self.home.join("archives");
        let mut download = self.command("apt-get");
        command::output(download.args(["-qq", "download"]).args(packages).current_dir(&archives))
            .with_context(|| format!("downloading packages{}", self.said))?;
        let archives = fs::read_dir(&archives)?.collect::<std::io::Result<Vec<_>>>()?;
        let is_package = |path: &PathBuf| path.extension().is_some_and(|last| last == "deb");
        for archive in archives.iter().map(fs::DirEntry::path).filter(is_package) {
            command::output(Command::new("dpkg").arg("-x").arg(&archive).arg(directory))?;
            fs::remove_file(&archive)?;
        }
        ensure!(directory.exists(), "apt-get download left no package");
        Ok(())
    }

    /// Installs packages of `suite` on this machine.
    pub(crate) fn install(&self, suite: &str, packages: &[&str]) -> Result<()> {
        eprintln!("xtask: installing {} from {suite}", packages.join(" "));
        let mut install = self.command("apt-get");
        install.env("DEBIAN_FRONTEND", "noninteractive");
        install.args(["-qq", "-o", "Dir::State::status=/var/lib/dpkg/status", "-t", suite]);
        command::watch(install.args(INSTALL).args(packages))
            .with_context(|| format!("installing packages of {suite}{}", self.said))
    }

    /// Downloads a source package to `directory`, as it was uploaded.
    pub(crate) fn source(&self, package: &str, directory: &Path) -> Result<()> {
        eprintln!("xtask: fetching the source of {package}");
        let mut download = self.command("apt-get");
        download.args(["-qq", "source", "--download-only", package]).current_dir(directory);
        command::output(&mut download)
            .map(|_| ())
            .with_context(|| format!("downloading a source package{}", self.said))
    }
}

/// The sources of suites: where this machine gets its packages from, so it must be a Debian.
fn lines(kind: &str, suites: &[&str]) -> Result<Vec<String>> {
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
        format!("{kind} [signed-by={KEYRING}] {uri} {suite} main")
    };
    Ok(suites.iter().map(line).collect())
}
