//! The configuration of the real binary: which value counts, what is refused and how that is told, changes while it runs.

#[path = "../common/agent.rs"]
mod agent;
mod harness;
mod hot;
mod logs;
mod reload;
#[path = "../common/sample.rs"]
mod sample;

use std::{fs, path::Path};

use harness::{Folder, fails, passes, xcloud};

#[test]
fn a_flag_counts_before_the_environment_before_the_file_before_the_default() {
    let folder = Folder::new();
    let file = folder.write(
        "agent:\n  cloud: aws\n  region: file\n  rate: 5\n  uplink: [a, b]\n  stages: true\n",
    );
    let mut command =
        xcloud(&["config", "show", "agent", "--config", &file, "--rate", "7", "--uplink", "c"]);
    let shown = passes(command.env("XCLOUD_RATE", "6").env("XCLOUD_REGION", "env"));
    for line in [
        "  cloud: aws  # file, line 2",
        "  region: env  # environment XCLOUD_REGION",
        "  rate: 7  # flag",
        "  uplink: [c]  # flag",
        "  stages: true  # file, line 6",
        "  zone: \"\"  # default",
        "  flush: 200ms  # default",
        "  # node: not given",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let shown = passes(xcloud(&["config", "show", "agent"]).env("XCLOUD_CONFIG", &file));
    assert!(shown.contains("uplink: [a, b]  # file"), "{shown}");
}

#[test]
fn what_is_shown_is_a_file_that_gives_the_same() {
    let folder = Folder::new();
    let file =
        folder.write("aggregator:\n  listen: ['unix:/a b', '[::1]:7171']\n  retention: 90m\n");
    let shown = passes(&mut xcloud(&["config", "show", "aggregator", "--config", &file]));
    let again = folder.write(&shown);
    passes(&mut xcloud(&["config", "check", &again]));
    let second = passes(&mut xcloud(&["config", "show", "aggregator", "--config", &again]));
    let values = |shown: &str| -> Vec<String> {
        let lines = shown.lines().skip(1).map(|line| line.split("  # ").next());
        lines.flatten().map(str::to_owned).collect()
    };
    assert_eq!(values(&shown), values(&second));
}

#[test]
fn the_level_that_rust_log_gives_is_the_environments() {
    let folder = Folder::new();
    let file = folder.write("agent:\n  log-level: warn\n");
    let show = ["config", "show", "agent", "--config", &file];
    let shown = passes(xcloud(&show).env("RUST_LOG", "debug"));
    assert!(shown.contains("log-level: debug  # environment RUST_LOG"), "{shown}");
    let shown = passes(xcloud(&show).env("RUST_LOG", "debug").env("XCLOUD_LOG", "error"));
    assert!(shown.contains("log-level: error  # environment XCLOUD_LOG"), "{shown}");
    assert!(passes(&mut xcloud(&show)).contains("log-level: warn  # file, line 2"));
}

#[test]
fn the_sample_is_sound_and_so_is_what_it_shows_in_comments() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/xcloud.yaml");
    let sample = fs::read_to_string(&path).expect("the sample");
    let said = passes(&mut xcloud(&["config", "check", path.to_str().expect("UTF-8")]));
    assert!(said.contains("sound"), "{said}");
    let shown = |line: &str| {
        let Some((indent, rest)) = line.split_once("# ") else { return line.to_owned() };
        let key = rest.split_once(": ").map_or("", |(key, _)| key);
        let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        if is_key || rest.starts_with("- ") { format!("{indent}{rest}") } else { line.to_owned() }
    };
    let all: Vec<_> = sample.lines().map(shown).collect();
    let folder = Folder::new();
    let said = passes(&mut xcloud(&["config", "check", &folder.write(&all.join("\n"))]));
    assert!(said.contains("26 keys of agent, 26 keys of aggregator"), "{said}\n{}", all.join("\n"));
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_key_before_anything_starts() {
    let folder = Folder::new();
    for (text, says) in [
        ("agent:\n  rate: fast\n", ":2:9: agent.rate: \"fast\": invalid digit"),
        ("agent:\n  rate: 0\n", ":2:9: agent.rate: --rate 0: must be from 1"),
        ("agent:\n  flush: 1h\n", ":2:10: agent.flush: --flush"),
        ("agent:\n  ratte: 5\n", ":2:3: agent.ratte: there is no such key; is rate meant?"),
        ("agent:\n  load-tests: true\n", "--load-address <IP> must be given, too"),
        ("agent:\n  rate: &a 5\n", "anchors and aliases"),
    ] {
        fails(&mut xcloud(&["agent", "--config", &folder.write(text)]), 2, says);
    }
    let retention = folder.write("aggregator:\n  interval: 1h\n  retention: 1m\n");
    let says = ":3:14: aggregator.retention: --retention is 1m";
    fails(&mut xcloud(&["aggregator", "--config", &retention]), 2, says);
    fails(&mut xcloud(&["config", "check", &retention]), 2, says);
    fails(
        &mut xcloud(&["agent", "--config", "/nowhere.yaml"]),
        1,
        "reading the configuration /nowhere.yaml",
    );
}

#[test]
fn a_check_tells_everything_that_is_wrong_in_all_files() {
    let folder = Folder::new();
    let one = folder.write("agent:\n  rate: fast\n  zone: [a]\naggregator:\n  retention: ever\n");
    let (other, sound) = (folder.write("[]"), folder.write("agent: {rate: 5}\n"));
    let output =
        xcloud(&["config", "check", &one, &other, &sound]).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    for says in [
        ":2:9: agent.rate",
        ":3:9: agent.zone",
        ":5:14: aggregator.retention",
        ":1:1: the file is a list",
    ] {
        assert!(said.contains(says), "{says}\n{said}");
    }
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 keys of agent"));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_a_flag_requires_may_be_in_the_file() {
    let folder = Folder::new();
    let file = folder.write("agent:\n  load-address: 10.0.0.1\n");
    let shown =
        passes(&mut xcloud(&["config", "show", "agent", "--load-tests", "--config", &file]));
    assert!(shown.contains("load-tests: true  # flag"), "{shown}");
}

#[test]
fn help_is_given_whatever_the_file_is() {
    let help = passes(xcloud(&["agent", "--help"]).env("XCLOUD_CONFIG", "/nowhere.yaml"));
    assert!(help.contains("--config"), "{help}");
    let mut wrong = xcloud(&["agent", "--rate"]);
    fails(wrong.env("XCLOUD_CONFIG", "/nowhere.yaml"), 2, "a value is required");
}

#[test]
fn the_reference_names_every_key_of_both() {
    let page = passes(&mut xcloud(&["config", "reference"]));
    for part in [
        "### `agent:`",
        "### `aggregator:`",
        "| `rate` | number | `10000` | `XCLOUD_RATE` | at once |",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}
