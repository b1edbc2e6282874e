//! For programs.

use anyhow::Result;
use serde::Serialize;

use crate::escape;

/// A value as JSON over several lines.
///
/// # Errors
/// None that is known; the serializer could in theory fail.
pub fn json(value: &(impl Serialize + ?Sized)) -> Result<String> {
    Ok(escape::json(&serde_json::to_string_pretty(value)?) + "\n")
}

/// A value as JSON on one line.
///
/// # Errors
/// None that is known; the serializer could in theory fail.
pub fn json_line(value: &impl Serialize) -> Result<String> {
    Ok(escape::json(&serde_json::to_string(value)?) + "\n")
}
