//! Whoever sets the wall clock during a test changes no figure of it: the code of load tests does not read it but for dates.

use std::{collections::BTreeMap, fs, path::Path};

/// Files that read it, how often, and what for.
const READERS: [(&str, usize); 4] = [
    // The date when a test began, told in its result.
    ("rate.rs", 1),
    ("throughput/record.rs", 1),
    // Once in a run; times of its probes are this and what the monotonic clock has moved since.
    ("stamp/clock.rs", 1),
    // When a round is due, which is a time of day.
    ("suite/rounds.rs", 1),
];

#[test]
fn nothing_but_dates_is_read_from_the_wall_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/load");
    let mut readers = BTreeMap::new();
    look(&root, &root, &mut readers);
    let known = READERS.map(|(file, count)| (file.to_owned(), count));
    assert_eq!(readers, BTreeMap::from(known), "CLOCK_MONOTONIC is for durations and schedules");
}

fn look(root: &Path, folder: &Path, readers: &mut BTreeMap<String, usize>) {
    // Put together here, so that this file is none of them.
    let readings = [["SystemTime", "now("], ["ClockId", "CLOCK_REALTIME"], ["Utc", "now("]];
    for entry in fs::read_dir(folder).expect("the sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            look(root, &path, readers);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let count: usize =
                readings.iter().map(|words| text.matches(&words.join("::")).count()).sum();
            let name = path.strip_prefix(root).expect("below it").display().to_string();
            readers.extend((count > 0).then_some((name, count)));
        }
    }
}
