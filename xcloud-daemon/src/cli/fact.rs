//! What only a test's user knows of the network it is made in.

use clap::Args;

/// Facts for the environment of a result.
#[derive(Args, Clone, Debug, Default)]
pub struct FactArgs {
    /// What a reader has to know of this network and xcloud cannot see, e.g. encryption=wireguard; may be repeated
    #[arg(long = "fact", global = true, value_name = "NAME=VALUE", value_parser = fact)]
    pub facts: Vec<(String, String)>,
}

fn fact(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() || value.is_empty() {
        return Err(format!("{text:?} is not NAME=VALUE, as in encryption=wireguard"));
    }
    Ok((name.into(), value.into()))
}
