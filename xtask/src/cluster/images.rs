//! Images as files, put into the nodes without a registry.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::plan;
use crate::{command, setup};

/// The image that holds a pod's namespaces: a program that does nothing.
pub(super) const PAUSE: &str = "xcloud.test/pause:1";

/// Where images are made that are not kept.
pub(super) fn directory() -> Result<PathBuf> {
    let path = plan::home().join("images");
    fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    Ok(path)
}

/// Writes it to a file in `directory`.
pub(super) fn pause(directory: &Path) -> Result<PathBuf> {
    let busybox = setup::find("busybox").context("no busybox: run cargo xtask cluster as root")?;
    let words = ["/busybox", "sleep", "2147483647"];
    archive(directory, PAUSE, &[(busybox, "busybox".into())], &words)
}

/// An image of a program and the libraries it is linked with, each where the program looks for it.
pub(super) fn program(directory: &Path, name: &str, program: &Path) -> Result<PathBuf> {
    // It says so and fails where a program has none.
    let libraries = command::output(Command::new("ldd").arg(program)).unwrap_or_default();
    let paths =
        libraries.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    let mut files: Vec<_> = paths
        .map(|path| {
            (path.clone(), path.strip_prefix("/").map_or_else(|_| path.clone(), Path::to_owned))
        })
        .collect();
    files.push((program.into(), "xcloud".into()));
    archive(directory, name, &files, &["/xcloud"])
}

/// An image of files, each with its path inside, that runs `words`: an archive as `docker save` writes it.
pub(super) fn archive(
    directory: &Path,
    name: &str,
    files: &[(PathBuf, PathBuf)],
    words: &[&str],
) -> Result<PathBuf> {
    let file_name = name.replace(['/', ':'], "-");
    let work = directory.join(&file_name);
    let _ = fs::remove_dir_all(&work);
    let root = work.join("root");
    for (from, to) in files {
        let to = root.join(to);
        fs::create_dir_all(to.parent().unwrap_or(&root))?;
        fs::copy(from, &to).with_context(|| format!("copying {}", from.display()))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
    }
    tar(&root, &work.join("layer.tar"), &["."])?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": words},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&work.join("layer.tar"))?)]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(work.join("config.json"), config.to_string())?;
    fs::write(work.join("manifest.json"), manifest.to_string())?;
    let image = directory.join(format!("{file_name}.tar"));
    tar(&work, &image, &["manifest.json", "config.json", "layer.tar"])?;
    fs::remove_dir_all(&work)?;
    Ok(image)
}

fn tar(directory: &Path, to: &Path, names: &[&str]) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--owner=0", "--group=0", "--numeric-owner", "-cf"]).arg(to);
    command::output(tar.arg("-C").arg(directory).args(names)).map(|_| ())
}

fn digest(file: &Path) -> Result<String> {
    let said = command::output(Command::new("sha256sum").arg(file))?;
    said.split_whitespace().next().map(String::from).context("sha256sum said nothing")
}
