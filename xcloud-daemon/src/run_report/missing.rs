//! What a reader would look for and not find.

use super::facts::{Path, Report, measured::Measured};

/// Fewer trials than this say little about how far trials lie apart.
const FEW: usize = 5;
/// Where the same is missing in more places than this, the others are counted.
const NAMED: usize = 3;

/// All that is missing, run by run and path by path.
#[must_use]
pub fn missing(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    let mut places: Vec<(String, Vec<String>)> = Vec::new();
    for run in &report.runs {
        if run.trials == 0 {
            all.push(format!("{}: there is no trial in it", run.label));
        }
        if run.environment.is_empty() {
            all.push(format!("{}: nothing says on what kernel and CNI it was made", run.label));
        }
    }
    for path in &report.paths {
        if path.floor.is_none() {
            all.push(format!(
                "{}: not both ends are a known CLOUD/REGION, so there is no floor{}",
                path.name(),
                if path.cost.is_none() { " and no price" } else { "" }
            ));
        }
        for (run, measured) in report.runs.iter().zip(&path.measured) {
            for why in of_path(path, measured.as_ref()) {
                let place = format!("{}, {}", run.label, path.name());
                match places.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, places)) => places.push(place),
                    None => places.push((why, vec![place])),
                }
            }
        }
    }
    all.extend(places.into_iter().flat_map(|(why, places)| told(&why, &places)));
    if report.runs.len() == 2 && report.verdicts.is_empty() {
        all.push(
            "no differences with intervals: the runs stand side by side, and nothing here says that one is better".into(),
        );
    }
    all
}

/// What is missing in these places: a line each, or one for all where there are many.
fn told(why: &str, places: &[String]) -> Vec<String> {
    match places.len().checked_sub(NAMED) {
        Some(more @ 1..) => {
            vec![format!("{why}: {}; and {more} more", places[..NAMED].join("; "))]
        }
        _ => places.iter().map(|place| format!("{place}: {why}")).collect(),
    }
}

fn of_path(path: &Path, measured: Option<&Measured>) -> Vec<String> {
    let Some(measured) = measured else { return vec!["not measured in this run".into()] };
    let mut why: Vec<String> = measured.unreadable.clone();
    if measured.empty > 0 {
        why.push(format!("{} of {} trials found nothing", measured.empty, measured.trials));
    }
    if measured.trials < FEW {
        let trials = if measured.trials == 1 { "trial" } else { "trials" };
        why.push(format!("{} {trials}; {FEW} would show how far they lie apart", measured.trials));
    }
    let other = path.measured.iter().flatten().map(|one| one.trials).max().unwrap_or(0);
    if other > measured.trials {
        why.push(format!("{} trials where the other run has {other}", measured.trials));
    }
    let short = measured.seconds.values.iter().filter(|one| **one < measured.seconds.median / 2.0);
    let short = short.count();
    if short > 0 {
        why.push(format!(
            "{short} of {} trials took less than half as long as the others",
            measured.trials
        ));
    }
    if measured.segments.is_empty() && !measured.distributions.is_empty() {
        why.push("no split: the agents' view of this path is not in the file".into());
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_in_many_places_is_told_once() {
        let places = ["a", "b", "c", "d", "e"].map(String::from);
        assert_eq!(told("no split", &places[..2]), ["a: no split", "b: no split"]);
        assert_eq!(told("no split", &places), ["no split: a; b; c; and 2 more"]);
    }
}
