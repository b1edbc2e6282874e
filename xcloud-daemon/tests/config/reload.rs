//! A file that changes while an aggregator runs.

use nix::sys::signal::Signal;

use crate::harness::{ConfigMap, Daemon, xcloud};

fn text(retention: &str, more: &str) -> String {
    format!("aggregator:\n  listen: ['127.0.0.1:0']\n  retention: {retention}\n{more}")
}

#[test]
fn what_can_change_does_and_what_cannot_is_told() {
    let map = ConfigMap::new(&text("1h", ""));
    let path = map.path();
    let file = path.to_str().expect("UTF-8");
    let daemon = Daemon::start(&mut xcloud(&["aggregator", "--max-paths", "9", "--config", file]));
    daemon.await_word("listening on");
    map.replace(&text("2h", "  interval: 20s\n  max-paths: 5\n"));
    daemon.await_word("retention is 2h from now on, it was 1h");
    daemon.await_word("interval stays 10s until a restart; the file says 20s");
    map.replace(&text("2h", "  log-level: debug\n"));
    daemon.await_word("log-level is debug from now on, it was (nothing)");
    let said = daemon.end();
    assert!(!said.contains("max-paths is"), "a flag counts before the file: {said}");
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told_once() {
    let map = ConfigMap::new(&text("1h", ""));
    let path = map.path();
    let daemon =
        Daemon::start(&mut xcloud(&["aggregator", "--config", path.to_str().expect("UTF-8")]));
    daemon.await_word("listening on");
    map.replace(&text("ever", "  max-paths: 5\n"));
    daemon.await_word("the configuration stays as it was: ");
    daemon.await_word("xcloud.yaml:3:14: aggregator.retention: \"ever\"");
    // What makes sense alone and not together is wrong, too.
    map.replace(&text("1s", ""));
    daemon.await_word(":3:14: aggregator.retention: --retention is 1s");
    map.replace(&text("3h", ""));
    daemon.await_word("retention is 3h from now on, it was 1h");
    let said = daemon.end();
    assert_eq!(said.matches("\"ever\"").count(), 1, "{said}");
    assert!(!said.contains("max-paths is"), "nothing of a wrong file counts: {said}");
}

#[test]
fn a_file_that_is_gone_changes_nothing_and_a_hangup_reads_it_again() {
    let map = ConfigMap::new(&text("1h", ""));
    let path = map.path();
    let daemon =
        Daemon::start(&mut xcloud(&["aggregator", "--config", path.to_str().expect("UTF-8")]));
    daemon.await_word("listening on");
    daemon.signal(Signal::SIGHUP);
    daemon.await_word("was read again (SIGHUP): nothing differs");
    std::fs::remove_file(&path).expect("there");
    daemon.await_word("the configuration stays as it was: reading the configuration");
    daemon.end();
}

#[test]
fn a_hangup_without_a_file_ends_nothing() {
    let daemon = Daemon::start(&mut xcloud(&["aggregator", "--listen", "127.0.0.1:0"]));
    daemon.await_word("listening on");
    daemon.signal(Signal::SIGHUP);
    daemon.await_word("SIGHUP: there is no configuration file to read again");
    daemon.end();
}
