//! The same said of many things is told once.

/// Where the same is said of more things than this, the others are counted.
const NAMED: usize = 3;

/// A sentence about something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What it is about.
    pub about: String,
    /// The sentence.
    pub what: String,
}

impl Remark {
    /// Puts both together.
    pub fn new(about: impl Into<String>, what: impl Into<String>) -> Self {
        Self { about: about.into(), what: what.into() }
    }
}

/// A line each, or one for all about which the same is said, if they are many.
#[must_use]
pub fn once(remarks: Vec<Remark>) -> Vec<String> {
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    for Remark { about, what } in remarks {
        match told.iter_mut().find(|(known, _)| *known == what) {
            Some((_, abouts)) => abouts.push(about),
            None => told.push((what, vec![about])),
        }
    }
    told.into_iter().flat_map(|(what, abouts)| lines(&what, &abouts)).collect()
}

fn lines(what: &str, abouts: &[String]) -> Vec<String> {
    match abouts.len().checked_sub(NAMED) {
        Some(more @ 1..) => {
            vec![format!("{what}: {}; and {more} more", abouts[..NAMED].join("; "))]
        }
        _ => abouts.iter().map(|about| format!("{about}: {what}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_of_many_is_told_once() {
        let remarks = |abouts: &[&str]| {
            abouts.iter().map(|about| Remark::new(*about, "no split")).collect::<Vec<_>>()
        };
        assert_eq!(once(remarks(&["a", "b"])), ["a: no split", "b: no split"]);
        let many =
            [remarks(&["a", "b"]), vec![Remark::new("a", "late")], remarks(&["c", "d", "e"])];
        assert_eq!(once(many.concat()), ["no split: a; b; c; and 2 more", "a: late"]);
    }
}
