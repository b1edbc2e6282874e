//! Without or with the wrong certificate: refused, and told once.

use std::net::{SocketAddr, TcpStream};

use xcloud::cli::access::TlsArgs;

use crate::{
    authority::{Authority, FUTURE, NOW, PAST, Pair, Secret},
    harness::{AGENT, Aggregator, COLLECTOR, ask, caller, chain, connect, secured},
};

/// Asks with these files; returns what came instead of an answer.
async fn refusal(args: &TlsArgs, address: SocketAddr) -> String {
    match connect(&caller(args), address).await {
        Err(why) => why,
        Ok(channel) => chain(&ask(channel).await.expect_err("refused")),
    }
}

/// Files whose owner believes the authority, whatever their own certificate is worth. They are judged when they are read, so
/// what is wrong must be wrong in the server's eyes only.
fn believer(pair: &Pair, own_ca: &str, ca: &str) -> Secret {
    Secret::new(pair, &format!("{own_ca}{ca}"))
}

#[tokio::test]
async fn strangers_are_refused_and_told_of_once() {
    let (authority, mut aggregator) = secured("");
    let other = Authority::new();
    let stranger = believer(&other.issue(&[COLLECTOR], NOW), other.pem(), authority.pem());
    let nobody = TlsArgs { tls_cert: None, tls_key: None, ..stranger.args() };
    for _ in 0..20 {
        let why = refusal(&stranger.args(), aggregator.address).await;
        assert!(
            why.contains("UnknownCA") || why.contains("reset") || why.contains("closed"),
            "{why}"
        );
        let why = refusal(&nobody, aggregator.address).await;
        assert!(
            why.contains("CertificateRequired") || why.contains("reset") || why.contains("closed"),
            "{why}"
        );
        // Neither TLS nor anything else.
        drop(TcpStream::connect(aggregator.address).expect("it listens"));
    }
    aggregator.await_word("refused 127.0.0.1");
    let said = aggregator.said();
    assert_eq!(aggregator.lines_with("refused"), 1, "{said}");
    // Whoever is known is served all the while.
    let known = Secret::new(&authority.issue(&[COLLECTOR], NOW), authority.pem());
    let channel = connect(&caller(&known.args()), aggregator.address).await.expect("believed");
    ask(channel).await.expect("an answer");
}

#[tokio::test]
async fn a_known_name_without_the_role_is_refused_and_told_of_once() {
    let (authority, mut aggregator) = secured("");
    let agent = Secret::new(&authority.issue(&[AGENT], NOW), authority.pem());
    let channel = connect(&caller(&agent.args()), aggregator.address).await.expect("believed");
    for _ in 0..20 {
        let status = ask(channel.clone()).await.expect_err("refused");
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
        assert!(status.message().contains("takes the role collector or operator"), "{status}");
    }
    aggregator.await_word("refused 127.0.0.1 (spiffe://test/agent)");
    assert_eq!(aggregator.lines_with("refused"), 1, "{}", aggregator.said());
}

#[tokio::test]
async fn who_calls_in_plaintext_gets_nothing() {
    let (_, aggregator) = secured("");
    let why = refusal(&TlsArgs::default(), aggregator.address).await;
    assert!(!why.is_empty());
}

#[test]
fn certificates_of_another_time_are_not_used_at_all() {
    let authority = Authority::new();
    for (years, why) in [(PAST, "expired at 2002-01-01"), (FUTURE, "not valid before 2098-01-01")] {
        let mine = Secret::new(&authority.issue(&[COLLECTOR], years), authority.pem());
        let error = xcloud::access::caller::Caller::new(&mine.args()).expect_err("wrong");
        assert!(format!("{error:#}").contains(why), "{error:#}");
    }
}

#[tokio::test]
async fn without_tls_everybody_on_this_machine_is_served() {
    let aggregator = Aggregator::start("");
    let channel = connect(&caller(&TlsArgs::default()), aggregator.address).await;
    ask(channel.expect("it listens")).await.expect("an answer");
}
