//! What daemons log, for people and for programs.

use std::fs;

use serde_json::Value;

use crate::harness::{Daemon, Folder, fails, xcloud};

fn aggregator(more: &[&str]) -> Daemon {
    Daemon::start(&mut xcloud(&[&["aggregator", "--listen", "127.0.0.1:0"], more].concat()))
}

#[test]
fn lines_for_people_are_time_level_and_message() {
    let daemon = aggregator(&[]);
    daemon.await_word("listening on");
    let said = daemon.end();
    for line in said.lines() {
        let (head, message) = line.split_once("] ").expect("a head");
        let (time, level) = head.split_once(' ').expect("two words");
        assert!(humantime::parse_rfc3339(&time[1..]).is_ok() && level == "INFO ", "{line}");
        assert!(!message.is_empty());
    }
    let first = said.lines().next().expect("a line");
    assert!(first.contains("configuration of aggregator, from no file: "), "{first}");
    assert!(
        first.contains("listen=[127.0.0.1:0] (flag)") && first.contains("retention=1h"),
        "{first}"
    );
}

#[test]
fn lines_for_programs_are_an_object_each() {
    let folder = Folder::new();
    let file = folder.write("aggregator:\n  log-format: json\n  retention: 2h\n");
    let daemon = aggregator(&["--config", &file]);
    daemon.await_word("listening on");
    let said = daemon.end();
    for line in said.lines() {
        let object: Value = serde_json::from_str(line).expect(line);
        let time = object["timestamp"].as_str().expect("a time");
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
        assert_eq!(
            (&object["level"], &object["target"].as_str().map(|it| it.starts_with("xcloud"))),
            (&"INFO".into(), &Some(true))
        );
        assert!(object["message"].is_string());
    }
    let first: Value =
        serde_json::from_str(said.lines().next().expect("a line")).expect("an object");
    assert_eq!(first["file"], file);
    assert!(
        first["configuration"]
            .as_str()
            .is_some_and(|all| all.contains("retention=2h (file, line 3)"))
    );
}

#[test]
fn the_last_word_of_a_daemon_that_logs_json_is_an_object_too() {
    let command =
        &mut xcloud(&["aggregator", "--listen", "unix:/nowhere/a", "--log-format", "json"]);
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Value = serde_json::from_str(said.lines().last().expect("a word")).expect(&said);
    assert_eq!(last["level"], "ERROR");
    assert!(
        last["message"].as_str().is_some_and(|word| word.contains("listening on unix:/nowhere/a"))
    );
    fails(&mut xcloud(&["aggregator", "--listen", "unix:/nowhere/a"]), 1, "xcloud: listening on");
}

#[test]
fn a_name_cannot_forge_a_line_nor_steer_a_terminal() {
    let folder = Folder::new();
    for format in ["text", "json"] {
        let path = folder.path().join("a\n[2026-01-01T00:00:00Z INFO ] forged\u{1b}[31m.yaml");
        fs::write(&path, "").expect("writable");
        let daemon =
            aggregator(&["--config", path.to_str().expect("UTF-8"), "--log-format", format]);
        daemon.await_word("listening on");
        let said = daemon.end();
        assert!(said.contains("forged"), "{said}");
        let forged = said.lines().any(|line| line.starts_with("[2026-01-01"));
        assert!(!forged && !said.contains('\u{1b}'), "{said:?}");
    }
}

#[test]
fn a_level_is_kept_and_rust_log_still_counts() {
    let silent = &mut xcloud(&["aggregator", "--listen", "unix:/nowhere/a", "--log-level", "off"]);
    let output = silent.output().expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "its last word only");
    let mut command = xcloud(&["aggregator", "--listen", "127.0.0.1:0"]);
    let daemon = Daemon::start(command.env("RUST_LOG", "warn,xcloud::aggregator=info"));
    daemon.await_word("listening on");
    assert!(!daemon.end().contains("configuration of"));
    fails(&mut xcloud(&["aggregator", "--log-level", "loud"]), 2, "neither off, error");
}
