//! With stamp-suite, both ways. `cargo xtask setup` installs it.

use std::{
    env,
    net::UdpSocket,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{Own, counts, figure, trial, xcloud};

/// 32 bytes, as both sides want them.
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The other implementation; `None` where it is not.
fn suite() -> Option<PathBuf> {
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain([PathBuf::from(tools)]);
    let found =
        places.find_map(|place| Some(place.join("stamp-suite")).filter(|file| file.is_file()));
    if found.is_none() {
        assert!(
            env::var_os("CI").is_none(),
            "stamp-suite has to be there in CI: cargo xtask setup"
        );
        eprintln!("SKIPPED: no stamp-suite here; cargo xtask setup installs it");
    }
    found
}

/// What it sends to our reflector, and what it says about the answers.
fn ask_ours(flags: &[&str], own_flags: &str) -> Option<Value> {
    let suite = suite()?;
    let own = Own::start(own_flags);
    let output = Command::new(suite)
        .args(["--remote-addr", "127.0.0.1", "--remote-port", &own.address.port().to_string()])
        .args(["--count", "50", "--send-delay", "5ms", "--timeout", "1", "--output-format", "json"])
        .args(flags)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_else(|| panic!("{output:?}"));
    Some(serde_json::from_str(last).expect("a summary"))
}

#[test]
fn its_sender_takes_our_answers() {
    let Some(summary) = ask_ours(&["--extra-padding", "20"], "") else { return };
    assert_eq!(summary["packets_received"], 50, "{summary}");
    let tlvs = &summary["measurements"]["tlv_validation"];
    assert_eq!(
        (&tlvs["rejected_replies"], &tlvs["flags"]["unrecognized"]),
        (&0.into(), &0.into()),
        "{tlvs}"
    );
    assert_eq!(summary["measurements"]["last_reflector_sequence"], 49);
}

#[test]
fn its_sender_is_told_which_fields_we_do_not_know() {
    let Some(summary) = ask_ours(&["--location"], "") else { return };
    assert_eq!(summary["packets_received"], 50, "{summary}");
    assert_eq!(summary["measurements"]["tlv_validation"]["flags"]["unrecognized"], 50, "{summary}");
}

#[test]
fn its_sender_takes_our_signatures() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("key");
    std::fs::write(&file, KEY).expect("written");
    let hex: String = KEY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let flags = ["--auth-mode", "A", "--hmac-key", &hex];
    let Some(summary) = ask_ours(&flags, &format!("--key-file {}", file.display())) else { return };
    assert_eq!(summary["packets_received"], 50, "{summary}");
}

struct Theirs(Child, u16);

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Its reflector.
fn theirs(flags: &[&str]) -> Option<Theirs> {
    let suite = suite()?;
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = free.expect("a free port").port();
    let child = Command::new(suite)
        .args(["--is-reflector", "--local-addr", "127.0.0.1", "--local-port", &port.to_string()])
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    // It does not say when it is ready; its port is taken then.
    let begin = Instant::now();
    while UdpSocket::bind(("127.0.0.1", port)).is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    Some(Theirs(child, port))
}

#[test]
fn its_reflectors_answers_are_understood() {
    let Some(theirs) = theirs(&["--stateful-reflector"]) else { return };
    for flags in ["", "--format ptp", "--size 500 --flows 3"] {
        let trial =
            trial(&mut xcloud(&format!("stamp --to 127.0.0.1:{} -n 60 -i 5ms {flags}", theirs.1)));
        assert_eq!(
            counts(&trial, ["answered", "lost_forward", "lost_backward"]),
            [60, 0, 0],
            "{flags}"
        );
        // One clock: the same time at both ends, within what a busy machine's wake-ups take.
        assert!(figure(&trial, "clock_offset").abs() < 50e6, "{flags}: {trial:?}");
    }
}

#[test]
fn its_reflector_takes_our_signatures() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("key");
    std::fs::write(&file, KEY).expect("written");
    let hex: String = KEY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let flags = ["--stateful-reflector", "--auth-mode", "A", "--require-hmac", "--hmac-key", &hex];
    let Some(theirs) = theirs(&flags) else { return };
    let words =
        format!("stamp --to 127.0.0.1:{} -n 60 -i 5ms --key-file {}", theirs.1, file.display());
    assert_eq!(counts(&trial(&mut xcloud(&words)), ["answered"]), [60]);
}
