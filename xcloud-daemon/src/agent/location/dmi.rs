//! What the firmware says of the machine: no more than whose cloud it is.

use std::{fs::File, io::Read as _, path::Path};

use super::Location;

/// Longest text taken.
const LONGEST: u64 = 256;
/// Azure's virtual machines have this tag, which Hyper-V elsewhere has not.
const AZURE_TAG: &str = "7783-7084-3265-9085-8269-3286-77";

/// What the files below a directory say; none when they name no cloud.
#[must_use]
pub(super) fn read(directory: &Path) -> Option<Location> {
    let text = |name: &str| {
        let mut text = String::new();
        let file = File::open(directory.join(name)).ok()?;
        file.take(LONGEST).read_to_string(&mut text).ok()?;
        Some(text.trim().to_owned())
    };
    let of = |name: &str| text(name).unwrap_or_default();
    let cloud = cloud(&of("sys_vendor"), &of("product_name"), &of("chassis_asset_tag"))?;
    Some(Location { cloud: cloud.into(), ..Location::default() })
}

fn cloud(vendor: &str, product: &str, tag: &str) -> Option<&'static str> {
    match vendor {
        "Amazon EC2" => Some("aws"),
        "Google" if product == "Google Compute Engine" => Some("gcp"),
        "Microsoft Corporation" if tag == AZURE_TAG => Some("azure"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_names_the_cloud_or_nothing() {
        assert_eq!(cloud("Amazon EC2", "m5.large", ""), Some("aws"));
        assert_eq!(cloud("Google", "Google Compute Engine", ""), Some("gcp"));
        assert_eq!(cloud("Google", "Pixelbook", ""), None);
        assert_eq!(cloud("Microsoft Corporation", "Virtual Machine", AZURE_TAG), Some("azure"));
        assert_eq!(cloud("Microsoft Corporation", "Virtual Machine", ""), None, "Hyper-V");
        assert_eq!(cloud("QEMU", "Standard PC", ""), None);
    }

    #[test]
    fn files_that_are_not_there_say_nothing() {
        assert_eq!(read(Path::new("/nowhere")), None);
    }
}
