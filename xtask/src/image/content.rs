//! What is in the image: the binary, who may run it, and what it is made of. Pure.

use anyhow::Result;

use super::tar::Tar;

/// Where the binary is.
pub(super) const BINARY: &str = "/usr/bin/xcloud";
/// Who runs it unless Kubernetes says otherwise: nobody in particular.
pub(super) const USER: u32 = 65_532;

const PASSWD: &str =
    "root:x:0:0:root:/:/sbin/nologin\nxcloud:x:65532:65532:xcloud:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nxcloud:x:65532:\n";

/// The one layer, as a tar archive. There are no certificates of public authorities: xcloud trusts those it is given.
pub(super) fn layer(binary: &[u8], bill: &str, epoch: u64) -> Result<Vec<u8>> {
    let mut tar = Tar::new(epoch);
    for directory in ["etc/", "usr/", "usr/bin/", "usr/share/", "usr/share/xcloud/"] {
        tar.directory(directory)?;
    }
    tar.file("etc/group", 0o644, GROUP.as_bytes())?;
    tar.file("etc/passwd", 0o644, PASSWD.as_bytes())?;
    tar.file(BINARY.trim_start_matches('/'), 0o755, binary)?;
    tar.file("usr/share/xcloud/xcloud.cdx.json", 0o644, bill.as_bytes())?;
    Ok(tar.finish())
}
