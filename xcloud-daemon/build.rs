//! Puts the kernel object into the binary. `cargo xtask build` names it; without that an empty stub takes its place,
//! so that `cargo check`, clippy and the host tests need no BPF compiler.

use std::{env, fs, path::Path};

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-env-changed=XCLOUD_EBPF_OBJECT");
    let target = Path::new(&env::var("OUT_DIR")?).join("xcloud-ebpf");
    match env::var("XCLOUD_EBPF_OBJECT") {
        Ok(object) => {
            println!("cargo::rerun-if-changed={object}");
            fs::copy(object, target)?;
        }
        Err(_) => fs::write(target, [])?,
    }
    Ok(())
}
