//! Mistakes of the person at the keyboard, which end with another exit code than failures do.

/// A wrong argument: a sentence that says which and why.
#[derive(Debug)]
pub struct UsageError(String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// A wrong argument.
#[must_use]
pub fn usage(why: impl Into<String>) -> anyhow::Error {
    UsageError(why.into()).into()
}
