//! `cargo xtask image`: the static binary as an OCI image, without a container engine.

mod build;
mod content;
mod oci;
mod sbom;
mod tar;

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use self::oci::About;
use crate::{bpf, command};

/// Flags of `image`.
#[derive(Args, Debug)]
pub(crate) struct ImageArgs {
    /// How the binary is built
    #[arg(long, value_enum, default_value = "release")]
    pub(crate) profile: Profile,
    /// What the image is called once it is imported, without its tag
    #[arg(long, default_value = "localhost/xcloud", value_name = "NAME")]
    pub(crate) name: String,
    /// Where the archive goes [default: target/image/xcloud-oci.tar]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// How the binary is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// For use
    Release,
    /// For tests: built sooner, slower
    Dev,
}

impl ImageArgs {
    /// An image for tests.
    pub(crate) fn for_tests() -> Self {
        Self { profile: Profile::Dev, name: "localhost/xcloud".into(), output: None }
    }
}

/// Builds the image and prints where it is.
pub(crate) fn run(args: &ImageArgs) -> Result<()> {
    let (path, _) = make(args)?;
    println!("{}", path.display());
    Ok(())
}

/// Builds the image; returns the archive, and the binary in it.
pub(crate) fn make(args: &ImageArgs) -> Result<(PathBuf, PathBuf)> {
    let directory = bpf::target().join("image");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let binary = build::binary(args.profile, &directory)?;
    let epoch = epoch()?;
    let bill = sbom::make(&build::metadata()?, &build::lock()?, epoch)?;
    fs::write(directory.join("xcloud.cdx.json"), &bill).context("writing the bill of materials")?;
    let bytes = fs::read(&binary).with_context(|| format!("reading {}", binary.display()))?;
    let about = About {
        name: args.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        revision: revision(),
        bill: oci::digest(bill.as_bytes()),
        epoch,
    };
    let layer = content::layer(&bytes, &bill, epoch)?;
    let archive = oci::archive(&layer, &about)?;
    let path = args.output.clone().unwrap_or_else(|| directory.join("xcloud-oci.tar"));
    fs::write(&path, archive).with_context(|| format!("writing {}", path.display()))?;
    Ok((path, binary))
}

/// The time of all that is in the image: what the environment says, else the last commit's.
fn epoch() -> Result<u64> {
    const VARIABLE: &str = "SOURCE_DATE_EPOCH";
    let text = match env::var(VARIABLE) {
        Ok(text) => text,
        Err(_) => git(&["log", "-1", "--format=%ct"]).with_context(|| {
            format!("asking git for the time of the source; {VARIABLE} names one")
        })?,
    };
    text.trim().parse().with_context(|| format!("{VARIABLE} is {text:?}, not a number of seconds"))
}

/// The commit, or nothing where there is no git; marked when the tree differs from it.
fn revision() -> String {
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_default();
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).unwrap_or_default();
    format!("{}{}", commit.trim(), if changed.is_empty() { "" } else { "-dirty" })
}

fn git(words: &[&str]) -> Result<String> {
    command::output(Command::new("git").current_dir(bpf::root()).args(words))
}
