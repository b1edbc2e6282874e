//! Generates the Rust side of the wire from `proto/xcloud`, without protoc. The output is committed.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use prost::Message as _;

const FILES: [&str; 4] = [
    "xcloud/common/v1/common.proto",
    "xcloud/ingest/v1/ingest.proto",
    "xcloud/loadtest/v1/loadtest.proto",
    "xcloud/observer/v1/observer.proto",
];

/// Writes `proto/src/gen`, or with `check` fails when it is not what the `.proto` files give.
pub(crate) fn run(check: bool) -> Result<()> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let target = proto.join("src/gen");
    let fresh = std::env::temp_dir().join(format!("xcloud-codegen-{}", std::process::id()));
    fs::create_dir_all(&fresh)?;
    let result = generate(&proto, &fresh).and_then(|()| publish(&fresh, &target, check));
    fs::remove_dir_all(&fresh)?;
    result
}

fn generate(proto: &Path, out: &Path) -> Result<()> {
    let descriptors = protox::compile(FILES, [proto]).context("compiling the .proto files")?;
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .out_dir(out)
        .compile_fds(descriptors)
        .context("generating Rust from the .proto files")
}

fn publish(fresh: &Path, target: &Path, check: bool) -> Result<()> {
    fs::create_dir_all(target)?;
    for entry in fs::read_dir(fresh)? {
        let entry = entry?;
        let wanted = fs::read(entry.path())?;
        let path = target.join(entry.file_name());
        if check && fs::read(&path).ok().as_ref() != Some(&wanted) {
            bail!("{} is stale: run `cargo xtask codegen` and commit the result", path.display());
        }
        if !check {
            fs::write(&path, wanted)?;
        }
    }
    Ok(())
}
