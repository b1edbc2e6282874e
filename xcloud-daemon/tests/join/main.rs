//! Stories of two or more clouds, as data: agents with clocks of their own send batches, and what comes out of the
//! join is compared with what the story says. Each `scenarios/*.toml` is one; [`scenario`] defines what it may say.

mod play;
mod scenario;

use std::{fs, path::Path};

#[test]
fn every_scenario_comes_out_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut played = 0;
    for entry in fs::read_dir(folder).expect("the folder of scenarios") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("readable");
        let scenario: scenario::Scenario =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("{}: {}", path.display(), scenario.about);
        play::play(&scenario);
        played += 1;
    }
    assert!(played >= 13, "only {played} scenarios were found");
}
