//! An image as an archive that both OCI tools (containerd, podman, skopeo) and `docker load` read. Pure.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    content::{BINARY, USER},
    tar::Tar,
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What the image says of itself.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Its name without a tag.
    pub(super) name: String,
    /// Its tag.
    pub(super) version: String,
    /// The commit it is of.
    pub(super) revision: String,
    /// Digest of the bill of materials.
    pub(super) bill: String,
    /// Its time, in seconds since 1970.
    pub(super) epoch: u64,
}

impl About {
    fn labels(&self) -> Value {
        json!({
            "dev.xcloud.sbom.digest": self.bill,
            "dev.xcloud.sbom.path": "/usr/share/xcloud/xcloud.cdx.json",
            "org.opencontainers.image.created": self.created(),
            "org.opencontainers.image.description":
                "Says where the p99 of traffic between clouds goes, from packets that go by anyway",
            "org.opencontainers.image.licenses": "(Apache-2.0 OR MIT) AND GPL-2.0-only",
            "org.opencontainers.image.revision": self.revision,
            "org.opencontainers.image.title": "xcloud",
            "org.opencontainers.image.version": self.version,
        })
    }

    fn created(&self) -> String {
        time(self.epoch)
    }
}

/// A time as OCI and CycloneDX write it.
pub(super) fn time(epoch: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(epoch);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// `sha256:…`
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A piece of the image, found by its digest.
struct Blob {
    kind: &'static str,
    bytes: Vec<u8>,
}

impl Blob {
    fn json(kind: &'static str, value: &Value) -> Self {
        Self { kind, bytes: value.to_string().into_bytes() }
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", hex(&self.bytes))
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.kind, "digest": digest(&self.bytes), "size": self.bytes.len()})
    }
}

/// Packs one layer into an archive.
pub(super) fn archive(layer: &[u8], about: &About) -> Result<Vec<u8>> {
    let packed = Blob { kind: LAYER, bytes: gzip(layer)? };
    let config = Blob::json(CONFIG, &config(layer, about));
    let manifest = Blob::json(
        MANIFEST,
        &json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [packed.descriptor()],
            "annotations": about.labels(),
        }),
    );
    let reference = format!("{}:{}", about.name, about.version);
    let mut listed = manifest.descriptor();
    listed["platform"] = json!({"architecture": "amd64", "os": "linux"});
    listed["annotations"] = json!({
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": about.version,
    });
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]});
    // For `docker load`, which reads no index.
    let docker = json!([{
        "Config": config.path(), "RepoTags": [reference], "Layers": [packed.path()],
    }]);
    let mut tar = Tar::new(about.epoch);
    tar.directory("blobs/")?;
    tar.directory("blobs/sha256/")?;
    let mut blobs = [packed, config, manifest];
    blobs.sort_by_key(Blob::path);
    for blob in &blobs {
        tar.file(&blob.path(), 0o644, &blob.bytes)?;
    }
    tar.file("index.json", 0o644, index.to_string().as_bytes())?;
    tar.file("manifest.json", 0o644, docker.to_string().as_bytes())?;
    tar.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(tar.finish())
}

fn config(layer: &[u8], about: &About) -> Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "created": about.created(),
        "config": {
            "Entrypoint": [BINARY],
            "Env": ["PATH=/usr/bin"],
            "Labels": about.labels(),
            "User": format!("{USER}:{USER}"),
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        "history": [{"created": about.created(), "created_by": "cargo xtask image"}],
    })
}

/// Packed without a time or the name of this system.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packer =
        GzBuilder::new().mtime(0).operating_system(255).write(vec![], Compression::best());
    packer.write_all(bytes).and_then(|()| packer.finish()).context("packing the layer")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use flate2::read::GzDecoder;

    use super::*;
    use crate::image::{content, tar::tests::read};

    fn about() -> About {
        About {
            name: "localhost/xcloud".into(),
            version: "1.2.3".into(),
            revision: "abc".into(),
            bill: "sha256:0".into(),
            epoch: 1_700_000_000,
        }
    }

    fn made(binary: &[u8]) -> Vec<u8> {
        let layer = content::layer(binary, "{}", about().epoch).expect("a layer");
        archive(&layer, &about()).expect("an archive")
    }

    /// Follows a descriptor, as tools do: size and digest must be right.
    fn follow(members: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Vec<u8> {
        let wanted = descriptor["digest"].as_str().expect("a digest");
        let path = format!("blobs/{}", wanted.replace(':', "/"));
        let bytes = members.get(&path).expect("the blob").clone();
        assert_eq!(digest(&bytes), wanted);
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    }

    fn parsed(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).expect("JSON")
    }

    #[test]
    fn the_binary_is_found_by_following_digests_from_the_index() {
        let members: BTreeMap<_, _> = read(&made(b"program")).into_iter().collect();
        let index = parsed(&members["index.json"]);
        let manifest = parsed(&follow(&members, &index["manifests"][0]));
        let config = parsed(&follow(&members, &manifest["config"]));
        let mut layer = Vec::new();
        let packed = follow(&members, &manifest["layers"][0]);
        GzDecoder::new(&packed[..]).read_to_end(&mut layer).expect("unpacks");
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        let files: BTreeMap<_, _> = read(&layer).into_iter().collect();
        assert_eq!(files["usr/bin/xcloud"], b"program");
        assert_eq!(config["config"]["Entrypoint"][0], "/usr/bin/xcloud");
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    }

    #[test]
    fn docker_finds_the_same_blobs() {
        let members: BTreeMap<_, _> = read(&made(b"program")).into_iter().collect();
        let docker = &parsed(&members["manifest.json"])[0];
        assert_eq!(docker["RepoTags"][0], "localhost/xcloud:1.2.3");
        for path in [&docker["Config"], &docker["Layers"][0]] {
            assert!(members.contains_key(path.as_str().expect("a path")), "{path}");
        }
    }

    #[test]
    fn the_same_binary_gives_the_same_bytes_and_another_one_others() {
        assert!(made(b"program") == made(b"program"));
        assert!(made(b"program") != made(b"another"));
    }
}
