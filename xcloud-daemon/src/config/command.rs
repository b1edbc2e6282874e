//! `xcloud config`: says whether a file is sound, what would be in force, and which keys there are.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::{
    Section,
    complaint::refused,
    file::{self, Entries},
    reference,
    settings::Settings,
    show,
};
use crate::{cli::config::ConfigCommand, report::style::print, usage::usage};

/// Does what was asked for; `settings` are those of the command that is shown.
///
/// # Errors
/// A file is not sound, or nobody reads what is written.
pub fn run(command: &ConfigCommand, settings: Option<&Settings>) -> Result<()> {
    match command {
        ConfigCommand::Check { files } => check_all(files),
        ConfigCommand::Show(_) => {
            let settings = settings.ok_or_else(|| anyhow!("no command is shown"))?;
            print(&show::yaml(settings)).map(drop)
        }
        ConfigCommand::Reference => print(&reference::markdown()).map(drop),
    }
}

fn check_all(files: &[impl AsRef<Path>]) -> Result<()> {
    let mut wrong = Vec::new();
    for path in files.iter().map(AsRef::as_ref) {
        match check(path) {
            Ok(counts) => {
                print(&format!("{}: sound: {counts}\n", path.display()))?;
            }
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(usage(wrong.join("\n"))) }
}

/// Checks every section by itself and as a whole; returns how many keys each has.
fn check(path: &Path) -> Result<String> {
    let text = file::read(path)?;
    let (mut complaints, mut counts) = (Vec::new(), Vec::new());
    let mut sound: Vec<(Section, Entries)> = Vec::new();
    for section in Section::ALL {
        match file::section(&text, section) {
            Ok(entries) => sound.push((section, entries)),
            Err(found) => complaints.extend(found),
        }
    }
    complaints.sort_by_key(|complaint| complaint.at);
    complaints.dedup();
    if !complaints.is_empty() {
        return Err(refused(path, &complaints));
    }
    for (section, entries) in sound {
        Settings::alone(section, path).hold(&entries)?;
        counts.push(format!("{} keys of {}", entries.len(), section.name()));
    }
    Ok(counts.join(", "))
}
