//! Whom callers believe, and how they say where the aggregator is.

use crate::{
    authority::{Authority, NOW, Secret},
    harness::{COLLECTOR, OPERATOR, run, secured},
};

/// What a split of nothing at an address ends with: the exit code and the last words.
fn split(flags: &str) -> (Option<i32>, String) {
    let output = run(&format!("split {flags}"));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

#[test]
fn a_user_reaches_the_aggregator_by_each_of_its_names_and_no_other() {
    let (authority, aggregator) = secured("");
    let mine = Secret::new(&authority.issue(&[COLLECTOR], NOW), authority.pem());
    let (flags, port) = (mine.flags(), aggregator.address.port());
    let right = [
        format!("--aggregator 127.0.0.1:{port}"),
        format!("--aggregator https://127.0.0.1:{port}"),
        format!("--aggregator https://localhost:{port}"),
        format!("--aggregator 127.0.0.1:{port} --tls-server-name localhost"),
        format!("--aggregator 127.0.0.1:{port} --tls-server-name spiffe://test/aggregator"),
    ];
    for how in right {
        assert_eq!(split(&format!("{flags} {how}")), (Some(0), String::new()), "{how}");
    }
    for (how, why) in [
        (
            format!("--aggregator 127.0.0.1:{port} --tls-server-name other.test"),
            "--tls-server-name says",
        ),
        (
            format!("--aggregator 127.0.0.1:{port} --tls-server-name spiffe://test/agent"),
            "does not name spiffe://test/agent",
        ),
    ] {
        let (code, said) = split(&format!("{flags} {how}"));
        assert!(code == Some(1) && said.contains(why), "{how}: {code:?} {said}");
    }
}

#[test]
fn an_aggregator_that_another_authority_vouches_for_is_not_believed() {
    let (_, aggregator) = secured("");
    let other = Authority::new();
    let mine = Secret::new(&other.issue(&[OPERATOR], NOW), other.pem());
    let (code, said) =
        split(&format!("{} --aggregator 127.0.0.1:{}", mine.flags(), aggregator.address.port()));
    assert_eq!(code, Some(1));
    assert!(said.contains("is not believed") && said.contains("UnknownIssuer"), "{said}");
}

#[test]
fn who_is_refused_at_the_door_is_told_what_may_be_wrong() {
    let (authority, aggregator) = secured("");
    let at = format!("--aggregator 127.0.0.1:{}", aggregator.address.port());
    let (code, said) = split(&at);
    assert!(code == Some(1) && said.contains("--tls-cert"), "in plaintext: {said}");
    let other = Authority::new();
    let both = format!("{}{}", other.pem(), authority.pem());
    let stranger = Secret::new(&other.issue(&[OPERATOR], NOW), &both);
    let (code, said) = split(&format!("{} {at}", stranger.flags()));
    assert!(code == Some(1) && said.contains("refuses this certificate"), "as a stranger: {said}");
    for said in [said, split(&at).1] {
        assert!(!said.contains("transport error"), "{said}");
    }
}

#[test]
fn who_lacks_the_role_is_told_which_it_takes() {
    let (authority, aggregator) = secured("");
    let mine = Secret::new(&authority.issue(&[COLLECTOR], NOW), authority.pem());
    let output = run(&format!(
        "load cancel x {} --aggregator 127.0.0.1:{}",
        mine.flags(),
        aggregator.address.port()
    ));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("takes the role operator"), "{said}");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let authority = Authority::new();
    let mine = Secret::new(&authority.issue(&[COLLECTOR], NOW), authority.pem());
    let (all, cert) = (mine.flags(), mine.path("tls.crt").display().to_string());
    for (words, why) in [
        (format!("aggregator {all}"), "no --role says"),
        ("aggregator --role agent=dns:a".into(), "nobody could be told apart"),
        ("aggregator --listen 0.0.0.0:0".into(), "--insecure"),
        ("aggregator --listen [::]:0".into(), "--insecure"),
        ("aggregator --listen https://127.0.0.1:0".into(), "started without --tls-cert"),
        (
            format!("aggregator --listen http://127.0.0.1:0 {all} --role agent=dns:a"),
            "with --tls-cert",
        ),
        ("aggregator --listen localhost:0".into(), "is an IP address"),
        (format!("split --tls-cert {cert}"), "one is missing"),
        (format!("split --tls-cert {cert} --tls-key {cert}"), "without --tls-ca"),
        ("aggregator --role root=dns:a".into(), "none of agent"),
        ("split --tls-server-name a".into(), "without --tls-ca"),
        (format!("aggregator --tls-ca {cert} --role agent=dns:a"), "needs all three"),
        ("aggregator --max-call-rate 0".into(), "would let nobody in"),
    ] {
        let output = run(&words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(said.contains(why), "{words}: {said}");
    }
}

#[test]
fn wrong_files_at_the_start_end_it_with_the_file_and_the_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, wrong) = (authority.issue(&[COLLECTOR], NOW), other.issue(&[COLLECTOR], NOW));
    for (cert, key, ca, why) in [
        ("", &good.key[..], authority.pem(), "tls.crt: holds no certificate"),
        (&good.cert[..good.cert.len() / 2], &good.key, authority.pem(), "tls.crt: "),
        (&good.cert, &wrong.key, authority.pem(), "KeyMismatch"),
        (&good.cert, "", authority.pem(), "tls.key: "),
        (&wrong.cert, &wrong.key, authority.pem(), "none of these authorities has signed it"),
        (&good.cert, &good.key, "", "ca.crt: holds no certificate"),
    ] {
        let mine = Secret::new(&good, authority.pem());
        mine.put(cert, key, ca);
        let output = run(&format!("aggregator {} --role agent=dns:a", mine.flags()));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{why}: {said}");
    }
}
