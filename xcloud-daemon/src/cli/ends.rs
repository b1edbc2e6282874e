//! What processes that are started by others are told: names of the ends, and where to say that they are ready.

use std::path::PathBuf;

use clap::Args;

use crate::escape::is_harmful;

/// Longest name of an end.
const LONGEST: usize = 512;

/// What both ends of a test are called in its result.
#[derive(Args, Clone, Debug, Default)]
pub struct EndsArgs {
    /// What this end is called in the result, e.g. aws/us-east-1/us-east-1a/node-1 [default: this machine's name]
    #[arg(long, value_name = "PLACE", value_parser = label)]
    pub from_label: Option<String>,
    /// What the other end is called [default: as it was given]
    #[arg(long, value_name = "PLACE", value_parser = label)]
    pub to_label: Option<String>,
}

/// How a process that answers says that it is ready.
#[derive(Args, Clone, Debug, Default)]
pub struct ReadyArgs {
    /// Write the address listened on to this file once it listens
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// A name without what a place's must not have.
///
/// # Errors
/// It has such a thing, or is too long.
pub(crate) fn label(text: &str) -> Result<String, String> {
    let odd = |c: char| is_harmful(c) || c.is_whitespace();
    if text.is_empty() || text.len() > LONGEST || text.contains(odd) {
        return Err(format!(
            "{text:?}: a name of 1 to {LONGEST} bytes without spaces, as in aws/us-east-1"
        ));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_spaces_nor_what_steers_terminals() {
        assert_eq!(label("aws/us-east-1//n1"), Ok("aws/us-east-1//n1".into()));
        for wrong in ["", "a b", "a\n", "\u{1b}[31m", &"x".repeat(513)] {
            assert!(label(wrong).is_err(), "{wrong:?}");
        }
    }
}
