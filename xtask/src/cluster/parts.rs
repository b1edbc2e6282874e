//! The programs a cluster is made of: Debian's packages, unpacked beside this machine's own, and Kubernetes itself, of
//! which Debian has the source. What was got once is kept.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{credentials::Credentials, plan};
use crate::{apt::Apt, command, setup};

/// The last release of Kubernetes whose whole source Debian has.
pub(super) const KUBERNETES: &str = "1.20.2";
/// A release that compiles it.
const GO: [&str; 2] = ["golang-1.15-go/bullseye", "golang-1.15-src/bullseye"];
/// Where that is in its packages.
const GO_ROOT: &str = "usr/lib/go-1.15";
/// What Debian has built. containerd 1.7 is the last that speaks this kubelet's version of the container runtime
/// interface, v1alpha2.
const PACKAGES: [&str; 5] = [
    "etcd-server/trixie",
    "kubectl/trixie",
    "containerd/trixie",
    "runc/bookworm",
    "containernetworking-plugins/bookworm",
];
/// What is built.
const COMMANDS: [&str; 5] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"];

/// Programs that are there.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    home: PathBuf,
}

impl Parts {
    /// Gets what is missing.
    pub(super) fn get() -> Result<Self> {
        setup::for_cluster()?;
        let home = plan::home();
        fs::create_dir_all(&home).with_context(|| format!("creating {}", home.display()))?;
        let parts = Self { home };
        if !parts.home.join("packages/complete").exists() {
            parts.fetch().context("getting a cluster's programs from Debian")?;
        }
        if COMMANDS.iter().any(|name| !parts.home.join("kubernetes").join(name).exists()) {
            parts.build().with_context(|| format!("building Kubernetes {KUBERNETES}"))?;
        }
        Ok(parts)
    }

    /// Those that are there already, for a process of a cluster.
    pub(super) fn there() -> Self {
        Self { home: plan::home() }
    }

    fn apt(&self) -> Result<Apt> {
        let suites = ["bullseye", "bookworm", "bookworm-security", "trixie"];
        Apt::with_sources(&suites, &["bookworm"], &self.home.join("apt"))
    }

    fn fetch(&self) -> Result<()> {
        let to = self.home.join("packages");
        self.apt()?.unpack(&PACKAGES, &to)?;
        Ok(fs::write(to.join("complete"), "")?)
    }

    fn build(&self) -> Result<()> {
        eprintln!("xtask: building Kubernetes {KUBERNETES}: eight minutes of one processor");
        let work = self.home.join("build");
        let _ = fs::remove_dir_all(&work);
        let source = work.join("source");
        fs::create_dir_all(&source)?;
        let apt = self.apt()?;
        apt.unpack(&GO, &work.join("go"))?;
        apt.source("kubernetes/bookworm", &work)?;
        let archive = archive(&work)?;
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(archive).arg("--strip-components=1").arg("-C").arg(&source);
        command::output(&mut tar)?;
        let made = work.join("made");
        fs::create_dir_all(&made)?;
        compile(&work, &source, &made)?;
        let to = self.home.join("kubernetes");
        let _ = fs::remove_dir_all(&to);
        fs::rename(&made, &to).with_context(|| format!("moving to {}", to.display()))?;
        fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))
    }

    /// The program `name`.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        let mut places = self.directories().into_iter().map(|directory| directory.join(name));
        places.find(|path| path.is_file()).unwrap_or_else(|| name.into())
    }

    /// kubectl, as an administrator.
    pub(super) fn kubectl(&self) -> Command {
        let state = plan::state();
        let mut kubectl = Command::new(self.program("kubectl"));
        kubectl.arg("--kubeconfig").arg(Credentials::of(&state).kubeconfig("admin"));
        // Not in the home directory of whoever calls it.
        kubectl.arg("--cache-dir").arg(state.join("kubectl"));
        kubectl
    }

    /// Where the network plugins are.
    pub(super) fn plugins(&self) -> PathBuf {
        self.home.join("packages/usr/lib/cni")
    }

    /// `PATH` of programs that call others of them.
    pub(super) fn path(&self) -> Result<OsString> {
        let own = env::var_os("PATH").unwrap_or_default();
        let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        let all = self.directories().into_iter().chain(env::split_paths(&own)).chain(more);
        env::join_paths(all).context("the path of target/cluster has a colon")
    }

    fn directories(&self) -> [PathBuf; 3] {
        ["kubernetes", "packages/usr/bin", "packages/usr/sbin"].map(|part| self.home.join(part))
    }
}

fn archive(directory: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(directory)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut archives = files.filter(|path| path.to_string_lossy().ends_with(".orig.tar.gz"));
    archives.next().context("the source package has no .orig.tar.gz")
}

/// Generates code, which this release does not carry, then compiles every program at once.
fn compile(work: &Path, source: &Path, to: &Path) -> Result<()> {
    let version = work.join("version");
    fs::write(&version, version_file())?;
    let prepared = |program: &str| {
        let go = work.join("go").join(GO_ROOT);
        let mut path = go.join("bin").into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new(program);
        command
            .current_dir(source)
            .env("PATH", path)
            .env("GOROOT", go)
            .env("GOCACHE", work.join("cache"))
            .env("GO111MODULE", "on")
            .env("GOFLAGS", "-mod=vendor")
            // Everything is in the source: nothing may be fetched.
            .env("GOPROXY", "off")
            .env("CGO_ENABLED", "0")
            .env("KUBE_GIT_VERSION_FILE", &version)
            // What make sets for cargo is not for this make.
            .env_remove("MAKEFLAGS");
        command
    };
    command::output(prepared("make").arg("generated_files"))?;
    let mut build = prepared("go");
    // Without the clouds' own libraries and Docker's, which take half of the time and are not used.
    build.args(["build", "-tags", "providerless,dockerless"]);
    build.args(["-trimpath", "-ldflags", &stamps(), "-o"]).arg(to);
    build.args(COMMANDS.map(|name| format!("./cmd/{name}")));
    command::output(&mut build).map(|_| ())
}

fn version_file() -> String {
    let [major, minor] = version_numbers();
    format!(
        "KUBE_GIT_COMMIT='unknown'\nKUBE_GIT_TREE_STATE='archive'\nKUBE_GIT_VERSION='v{KUBERNETES}'\n\
         KUBE_GIT_MAJOR='{major}'\nKUBE_GIT_MINOR='{minor}'\n"
    )
}

/// Linker's flags by which the programs know their version.
fn stamps() -> String {
    let [major, minor] = version_numbers();
    let facts =
        [("gitVersion", &*format!("v{KUBERNETES}")), ("gitMajor", major), ("gitMinor", minor)];
    let packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
    let stamp =
        |package: &str| facts.map(|(name, value)| format!(" -X {package}.{name}={value}")).concat();
    "-s -w".to_owned() + &packages.map(stamp).concat()
}

fn version_numbers() -> [&'static str; 2] {
    let mut numbers = KUBERNETES.split('.');
    [numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_their_version() {
        assert!(stamps().contains("-X k8s.io/component-base/version.gitVersion=v1.20.2 "));
        assert!(version_file().contains("KUBE_GIT_MINOR='20'"));
    }
}
