//! What is written is read by those it is for.

use std::{fs, io::Write as _, net::TcpListener, thread};

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use xcloud::result::Run;

use crate::harness::{Responder, count, request, xcloud};

#[test]
fn repeats_are_trials_of_one_result() {
    let responder = Responder::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let url = responder.url("size=10");
    let output = xcloud(&format!("http {url} -R 100 -c 4 -d 1s --repeat 2 --label a"))
        .arg("--result")
        .arg(path("a.json"))
        .arg("--hgrm")
        .arg(path("a.hgrm"))
        .arg("--hdr-log")
        .arg(path("a.log"))
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = Run::read(&path("a.json")).expect("a result");
    assert_eq!((run.label.as_str(), run.trials.len()), ("a", 2));
    assert!(run.trials.iter().all(|trial| trial.test == "http" && trial.settings["rate"] == "100"));
    let done: u64 = run.trials.iter().map(|trial| count(trial, "done")).sum();
    assert_eq!(done, 200);
    let percentiles = fs::read_to_string(path("a.hgrm")).expect("written");
    assert!(percentiles.contains("Total count    =          200]"), "{percentiles}");
    let log = fs::read(path("a.log")).expect("written");
    let entries: Vec<_> = IntervalLogIterator::new(&log)
        .map(|entry| entry.expect("in the format"))
        .filter(|entry| matches!(entry, LogEntry::Interval(_)))
        .collect();
    assert!(entries.len() >= 2 * 4, "{}", entries.len());
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        table.matches("100 scheduled = 100 done + 0 failed + 0 unfinished").count(),
        2,
        "{table}"
    );
}

#[test]
fn a_repeat_that_cannot_be_made_takes_nothing_from_those_before_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        drop(listener);
        while request(&mut stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.json");
    let output = xcloud(&format!("http http://{address}/ -R 50 -c 1 -d 300ms --repeat 3"))
        .arg("--result")
        .arg(&path)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    let run = Run::read(&path).expect("a result");
    assert_eq!((run.trials.len(), count(&run.trials[0], "done")), (1, 15));
}

#[test]
fn a_result_that_cannot_be_written_is_refused_before_anything_is_sent() {
    // Nothing listens there, which nobody finds out.
    for words in
        ["http http://127.0.0.1:1/", "stamp --to 127.0.0.1:1", "throughput -c 127.0.0.1 -p 1"]
    {
        let output = xcloud(words).args(["--result", "/proc/no/a.json"]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("/proc/no/a.json cannot be written"), "{words}: {said}");
    }
}

#[test]
fn a_ramp_ends_at_the_knee() {
    let responder = Responder::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ramp.json");
    // Two connections, each busy for 100 ms: twenty requests a second are all there can be.
    let url = responder.url("delay=100ms");
    let output = xcloud(&format!("http {url} -c 2 --ramp 10:90:40 -d 2s --drain 1s"))
        .arg("--result")
        .arg(&path)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("knee at 10/s: at 50/s only"), "{said}");
    let run = Run::read(&path).expect("a result");
    let tests: Vec<_> = run.trials.iter().map(|trial| trial.test.as_str()).collect();
    assert_eq!(tests, ["http@10", "http@50"]);
}
