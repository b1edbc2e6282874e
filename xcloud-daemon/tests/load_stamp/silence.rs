//! Where nothing answers, a test says so and fails, and the network is left as it is.

use std::net::UdpSocket;

use xcloud::result::Run;

use crate::harness::xcloud;

#[test]
fn probes_that_nobody_answers_fail_the_test_and_its_figures_are_kept() {
    let folder = tempfile::tempdir().expect("a directory");
    let result = folder.path().join("a.json");
    // Takes probes and says nothing.
    let mute = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = mute.local_addr().expect("bound");
    let words = format!("stamp --to {address} -n 20 -i 1ms --timeout 100ms");
    let output = xcloud(&words).arg("--result").arg(&result).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [&*address.to_string(), "20 probes", "within 100ms", "--reflect"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let run = Run::read(&result).expect("written");
    assert_eq!(run.trials[0].metrics["loss"].value, 1.0);
}

#[test]
fn a_host_without_a_reflector_is_told_from_a_path_that_loses_all() {
    let gone = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let address = gone.expect("bound");
    let words = format!("stamp --to {address} -n 5 -i 1ms --timeout 100ms");
    let output = xcloud(&words).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("nothing listens on UDP port {}", address.port())), "{said}");
}

#[test]
fn nothing_is_changed_where_nothing_would_be_seen() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("happened");
    let mute = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = mute.local_addr().expect("bound");
    let words = format!("convergence --to {address} --before 300ms --wait 1s --timeout 100ms");
    let event = format!("touch {}", file.display());
    let output = xcloud(&words).args(["--event", &event]).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [&*address.to_string(), "the event was not run", "--reflect"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!file.exists(), "the event was run");
}
