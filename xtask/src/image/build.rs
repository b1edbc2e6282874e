//! What goes into the image: the static binary, and what cargo knows of its parts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Profile;
use crate::{bpf, command, setup};

/// Static, so that an image needs nothing else.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-musl";

/// Builds the static binary and takes out what only debuggers read; returns where it is.
pub(super) fn binary(profile: Profile, directory: &Path) -> Result<PathBuf> {
    setup::for_image(TARGET)?;
    let mut cargo = bpf::cargo()?;
    cargo.args(["build", "--quiet", "-p", "xcloud-daemon", "--bin", "xcloud", "--target", TARGET]);
    let built = match profile {
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
        Profile::Dev => "debug",
    };
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", TARGET.to_uppercase().replace('-', "_"));
    cargo.env(variable, flags());
    command::watch(&mut cargo).context("building the static binary")?;
    let built = bpf::target().join(TARGET).join(built).join("xcloud");
    let stripped = directory.join("xcloud");
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").arg(&stripped).arg(built);
    command::watch(&mut strip).context("stripping the static binary")?;
    Ok(stripped)
}

/// Directories of this machine must not show in the binary.
fn flags() -> String {
    let mut hidden = vec![(bpf::root().to_owned(), "/xcloud")];
    hidden.extend(setup::cargo_home().map(|home| (home, "/cargo")));
    let remap =
        |(from, to): (PathBuf, &str)| format!("--remap-path-prefix={}={to}", from.display());
    hidden.into_iter().map(remap).collect::<Vec<_>>().join(" ")
}

/// What cargo says of all packages.
pub(super) fn metadata() -> Result<Value> {
    let mut cargo = bpf::host_cargo();
    cargo.args(["metadata", "--format-version=1", "--locked", "--filter-platform", TARGET]);
    let text = command::output(&mut cargo).context("asking cargo for the dependencies")?;
    serde_json::from_str(&text).context("understanding `cargo metadata`")
}

/// The lock file, which has the checksums.
pub(super) fn lock() -> Result<String> {
    fs::read_to_string(bpf::root().join("Cargo.lock")).context("reading Cargo.lock")
}
