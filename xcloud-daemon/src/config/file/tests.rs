//! Files with everything that can be wrong with them.

use proptest::prelude::*;

use super::*;

fn agent(text: &str) -> Result<Entries, Vec<String>> {
    section(text, Section::Agent)
        .map_err(|complaints| complaints.iter().map(ToString::to_string).collect())
}

fn wrong(text: &str) -> String {
    agent(text).expect_err(text).join("\n")
}

#[test]
fn values_are_what_would_be_typed() {
    let text = "agent:\n  rate: 5000\n  region: ''\n  stages: true\n  account: false\n  uplink: [eth0, \"bond 1\"]\n  \
                flush: 1s\n  queue-hook: false\n";
    let entries = agent(text).expect("sound");
    assert_eq!(
        flags(&entries, &keys(Section::Agent), |_| true),
        [
            "--flush=1s",
            "--queue-hook=false",
            "--rate=5000",
            "--region=",
            "--stages",
            "--uplink=eth0",
            "--uplink=bond 1"
        ]
    );
    assert_eq!(entries["rate"].at, Position { line: 2, column: 9 });
}

#[test]
fn a_file_without_a_section_gives_nothing() {
    for nothing in ["", "agent:\n", "aggregator:\n  retention: 2h\n", "# agent:\n"] {
        assert_eq!(agent(nothing).expect(nothing), Entries::new(), "{nothing:?}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_its_key_and_the_reason() {
    for (text, told) in [
        ("agent:\n  rate: fast\n", "2:9: agent.rate: \"fast\": invalid digit found in string"),
        ("agent:\n  flush: 10 lightyears\n", "2:10: agent.flush: "),
        (
            "agent:\n  aggregator: nowhere\n",
            "2:15: agent.aggregator: \"nowhere\" is neither IP:PORT",
        ),
        ("agent:\n  log-format: xml\n", "2:15: agent.log-format: \"xml\" is none of text, json"),
        ("agent:\n  log-level: loud\n", "2:14: agent.log-level: \"loud\" is neither off"),
        (
            "agent:\n  queueHook: true\n",
            "2:3: agent.queueHook: there is no such key; is queue-hook meant?",
        ),
        (
            "agent:\n  retention: 1h\n",
            "2:3: agent.retention: there is no such key here; it is one of aggregator:",
        ),
        (
            "agent:\n  xyzzy: red\n",
            "2:3: agent.xyzzy: there is no such key; `xcloud config reference`",
        ),
        ("agent:\n  stages: yes\n", "2:11: agent.stages: is neither true nor false"),
        ("agent:\n  stages: 'true'\n", "2:11: agent.stages: is neither true nor false"),
        ("agent:\n  stages: [true]\n", "2:11: agent.stages: is a list, not true or false"),
        ("agent:\n  rate: [1, 2]\n", "2:9: agent.rate: is a list, not a single value"),
        ("agent:\n  rate:\n", "agent.rate: has no value"),
        ("agent:\n  uplink: eth0\n", "2:11: agent.uplink: is a single value, not a list"),
        ("agent:\n  uplink: [eth0, [x]]\n", "2:18: agent.uplink: is a list, not a single value"),
        ("agent:\n  uplink: [~]\n", "2:12: agent.uplink: is nothing, not a single value"),
        ("agent:\n  cloud: \"a\\nb\"\n", "2:10: agent.cloud: \"a\\nb\": holds a control character"),
        ("agent:\n  config: x.yaml\n", "2:3: agent.config: there is no such key"),
        ("agent:\n  pretend-clock-ppm: 1\n", "2:3: agent.pretend-clock-ppm: there is no such key"),
        ("agent: 5\n", "1:8: agent: is a single value, not a mapping"),
        ("- agent\n", "1:1: the file is a list, not a mapping"),
        (
            "agnet:\n  rate: 5\n",
            "1:1: \"agnet\" is no section, as agent and aggregator are; is agent meant?",
        ),
        (
            "rate: 5\n",
            "1:1: \"rate\" is no section, as agent and aggregator are; it is a key of the section agent:",
        ),
        ("agent:\n  rate: 1\n  rate: 2\n", "3:3: \"rate\" is given a second time, after line 2"),
        ("agent:\n  rate: &r 1\n", "2:12: anchors and aliases"),
    ] {
        let said = wrong(text);
        assert!(
            said.starts_with(told) || (told.starts_with("agent.") && said.contains(told)),
            "{text:?}\n{said}\n{told}"
        );
    }
    assert!(
        section("aggregator:\n  listen: []\n", Section::Aggregator).expect_err("empty")[0]
            .why
            .contains("empty list")
    );
}

#[test]
fn everything_wrong_is_told_at_once() {
    let said =
        agent("agent:\n  rate: fast\n  colour: red\n  cloud: aws\n").expect_err("twice wrong");
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn what_a_flag_requires_may_come_from_elsewhere() {
    assert!(agent("agent:\n  load-tests: true\n").is_ok());
}

#[test]
fn an_error_of_the_other_section_is_left_to_the_other() {
    let text = "agent:\n  rate: 5\naggregator:\n  newer-key: 1\n";
    assert!(agent(text).is_ok());
    assert!(section(text, Section::Aggregator).is_err());
}

#[test]
fn files_that_are_too_large_or_no_text_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large.yaml");
    std::fs::write(&path, "#".repeat(257 << 10)).expect("writable");
    assert!(read(&path).expect_err("large").to_string().contains("larger than 256 KiB"));
    std::fs::write(&path, b"agent:\n  cloud: \xff\n").expect("writable");
    assert!(read(&path).expect_err("odd").to_string().contains("byte 17 is none"));
    // Endless, so a bound on what is read matters.
    assert!(read(Path::new("/dev/zero")).expect_err("endless").to_string().contains("larger"));
    assert!(format!("{:#}", read(Path::new("/nowhere")).expect_err("none")).contains("/nowhere"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_values_make_it_panic(value in "\\PC{0,40}", key in "[a-z-]{0,12}|rate|uplink|stages") {
        let _ = agent(&format!("agent:\n  {key}: {value}\n"));
    }
}
