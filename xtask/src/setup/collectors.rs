//! Who reads metrics in tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{find, install, missing_tools, quiet};
use crate::{bpf, command};

/// Programs that read metrics, and the interpreter of those that read exports.
const TOOLS: [(&str, &str); 3] =
    [("prometheus", "prometheus"), ("promtool", "prometheus"), ("python3", "python3")];

/// Installs who reads metrics in tests: Prometheus, and a Python with what `xtask/collectors/requirements.txt` names;
/// returns that Python.
pub(crate) fn collectors() -> Result<PathBuf> {
    let mut packages = missing_tools(&TOOLS);
    let had_prometheus = find("prometheus").is_some();
    // Debian keeps what makes environments apart from the interpreter.
    if command::output(Command::new("python3").args(["-c", "import ensurepip"])).is_err() {
        packages.push("python3-venv");
    }
    install(&packages)?;
    if !had_prometheus {
        // Debian starts it, for which nobody asked. It fails where no services run, and then none was started.
        quiet("prometheus");
    }
    let wanted = bpf::root().join("xtask/collectors/requirements.txt");
    let home = bpf::target().join("collectors");
    let (python, marker) = (home.join("bin/python"), home.join("requirements.txt"));
    let read = |path: &Path| fs::read_to_string(path);
    let text = read(&wanted).with_context(|| format!("reading {}", wanted.display()))?;
    if read(&marker).is_ok_and(|made| made == text) {
        return Ok(python);
    }
    eprintln!("xtask: making {}", home.display());
    command::watch(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    command::watch(pip.arg(&wanted))
        .context("installing Python packages failed: it needs the package index")?;
    fs::write(&marker, text).with_context(|| format!("writing {}", marker.display()))?;
    Ok(python)
}
