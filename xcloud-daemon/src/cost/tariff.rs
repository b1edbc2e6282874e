//! Price lists: what is charged, where, and how sure that is.

use std::{fs, io::Read as _, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::{money::Price, volume::Unit};

/// Names the layout of a price list.
const SCHEMA: &str = "xcloud.tariffs.v1";

/// Longest file of prices read, in bytes.
const LONGEST: u64 = 1 << 20;

const BUILT_IN: [&str; 3] = [
    include_str!("../../tariffs/aws.toml"),
    include_str!("../../tariffs/gcp.toml"),
    include_str!("../../tariffs/azure.toml"),
];

/// How far a price can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// Read on the provider's own page, or in the user's own contract, on the day named.
    #[serde(rename = "listed")]
    Listed,
    /// Not read there, or two pages differ.
    #[serde(rename = "to be checked")]
    ToBeChecked,
    /// Charged for, but how much is not known.
    #[serde(rename = "unknown")]
    Unknown,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Listed => "listed",
            Self::ToBeChecked => "to be checked",
            Self::Unknown => "unknown",
        })
    }
}

/// Which end of a path is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Where bytes leave.
    #[default]
    From,
    /// Where they arrive.
    To,
    /// Each end that is in this cloud.
    Either,
}

/// A part of the month's volume and its price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Where it ends, in units; `None` at the last.
    pub up_to: Option<u64>,
    /// Price of a unit.
    pub price: Price,
    /// How sure it is.
    pub status: Status,
}

/// How a charge is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rate {
    /// By volume; each tier's price holds for its own part.
    Volume(Unit, Vec<Tier>),
    /// By the hour for each thing named; no price when it is not known.
    Hourly(String, Option<Price>),
}

/// One entry of a price list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Unique name.
    pub id: String,
    /// Whose price it is.
    pub cloud: String,
    /// The way bytes take, or a pattern.
    pub path: String,
    /// Which end.
    pub side: Side,
    /// Where the charged end is: patterns, or none for all regions.
    pub regions: Vec<String>,
    /// Where the other end is, likewise.
    pub to_regions: Vec<String>,
    /// How much.
    pub rate: Rate,
    /// How sure.
    pub status: Status,
    /// Where it was read, with what has to be known.
    pub source: String,
    /// When: a date or a month.
    pub read: String,
}

/// All prices in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariffs {
    /// In the order of the files.
    pub charges: Vec<Charge>,
    /// Cloud and version of each file.
    pub versions: Vec<String>,
}

impl Tariffs {
    /// The prices that come with the program.
    ///
    /// # Errors
    /// None that passes the tests.
    pub fn built_in() -> Result<Self> {
        let mut tariffs = Self { charges: Vec::new(), versions: Vec::new() };
        for text in BUILT_IN {
            tariffs.add(text).context("a price list inside the program")?;
        }
        Ok(tariffs)
    }

    /// The same with a file's charges instead of those with the same name, and beside the others.
    ///
    /// # Errors
    /// The file cannot be read or is no price list.
    pub fn with_file(path: &Path) -> Result<Self> {
        let reading = || format!("reading prices from {}", path.display());
        let mut text = String::new();
        let file = fs::File::open(path).with_context(reading)?;
        file.take(LONGEST + 1).read_to_string(&mut text).with_context(reading)?;
        if text.len() as u64 > LONGEST {
            bail!("{} has more than {LONGEST} bytes: no price list", path.display());
        }
        let mut tariffs = Self::built_in()?;
        tariffs.add(&text).with_context(reading)?;
        Ok(tariffs)
    }

    fn add(&mut self, text: &str) -> Result<()> {
        let file: raw::File = toml::from_str(text)?;
        if file.schema != SCHEMA {
            bail!("it is of layout {:?}; this xcloud reads {SCHEMA}", file.schema);
        }
        self.versions.push(format!("{} {}", file.cloud, file.version));
        let mut added: Vec<Charge> = Vec::new();
        for charge in file.charge {
            let name = charge.id.clone();
            let charge = charge.checked(&file.cloud).with_context(|| format!("charge {name:?}"))?;
            if added.iter().any(|one| one.id == charge.id) {
                bail!("charge {name:?} is there twice");
            }
            added.push(charge);
        }
        self.charges.retain(|old| added.iter().all(|new| new.id != old.id));
        self.charges.append(&mut added);
        Ok(())
    }
}

mod raw;

#[cfg(test)]
mod tests;
