//! For programs.

use anyhow::Result;

use super::Report;

/// The report as one JSON object.
///
/// # Errors
/// None that is known; the serializer could in theory fail.
pub fn json(report: &Report) -> Result<String> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}
