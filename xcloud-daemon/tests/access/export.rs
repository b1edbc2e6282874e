//! Exports by OTLP: who is told, who says so, and what nobody else learns.

use std::fs;

use tempfile::TempDir;

use crate::{
    authority::{Authority, NOW, Secret},
    harness::{Aggregator, aggregator, xcloud},
    receiver::Receiver,
};

const TOKEN: &str = "S3cretT0ken";

/// An authority's certificate and headers, as files.
fn files(authority: &Authority) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a directory");
    let [ca, headers] = ["ca.crt", "headers"].map(|name| folder.path().join(name));
    fs::write(&ca, authority.pem()).expect("a file");
    fs::write(&headers, format!("authorization=Bearer%20{TOKEN}\n")).expect("a file");
    let (ca, headers) = (ca.display(), headers.display());
    let flags = format!("--otlp-interval 1s --otlp-ca {ca} --otlp-headers-file {headers}");
    (folder, flags)
}

#[tokio::test]
async fn a_receiver_whose_authority_is_named_is_told_with_the_token_that_is_in_the_file_now() {
    let authority = Authority::new();
    let receiver = Receiver::start(&authority, None).await;
    let (folder, flags) = files(&authority);
    let mut command = aggregator(&format!("--otlp-endpoint {} {flags}", receiver.url()));
    let aggregator = Aggregator::of(command.env("RUST_LOG", "trace"));
    receiver.await_export(&format!("Bearer {TOKEN}")).await;
    fs::write(folder.path().join("headers"), "authorization=Another\n").expect("a file");
    receiver.await_export("Another").await;
    assert!(!aggregator.said().contains(TOKEN), "it was logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_another_authority_vouches_for_is_told_nothing() {
    let receiver = Receiver::start(&Authority::new(), None).await;
    let (_folder, flags) = files(&Authority::new());
    let mut aggregator = Aggregator::start(&format!("--otlp-endpoint {} {flags}", receiver.url()));
    aggregator.await_word("localhost shows a certificate that was signed by no authority of /");
    assert!(receiver.taken().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_by_another_name_is_told_nothing() {
    let authority = Authority::new();
    let receiver = Receiver::start(&authority, None).await;
    let (_folder, flags) = files(&authority);
    let url = format!("https://{}", receiver.address);
    let mut aggregator = Aggregator::start(&format!("--otlp-endpoint {url} {flags}"));
    aggregator.await_word("127.0.0.1 shows a certificate that is another host's");
    assert!(receiver.taken().is_empty());
}

#[tokio::test]
async fn without_a_file_the_systems_authorities_count() {
    let authority = Authority::new();
    let receiver = Receiver::start(&authority, None).await;
    let (folder, _) = files(&authority);
    let flags = format!("--otlp-endpoint {} --otlp-interval 1s", receiver.url());
    let mut command = aggregator(&flags);
    command.env("SSL_CERT_FILE", folder.path().join("ca.crt"));
    let _aggregator = Aggregator::of(command.env("XCLOUD_OTLP_HEADERS", "Authorization=a%3Db"));
    receiver.await_export("a=b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_a_certificate_gets_one_where_that_is_wanted() {
    let (authority, callers) = (Authority::new(), Authority::new());
    let receiver = Receiver::start(&authority, Some(&callers)).await;
    let (_folder, flags) = files(&authority);
    let secret = Secret::new(&callers.issue(&["localhost"], NOW), callers.pem());
    let flags = format!("--otlp-endpoint {} {flags}", receiver.url());
    let shown = format!("{flags} --otlp-show-cert --role agent=dns:a");
    let aggregator = Aggregator::start(&format!("{} {shown}", secret.flags()));
    receiver.await_export(&format!("Bearer {TOKEN}")).await;
    drop(aggregator);
    let before = receiver.taken().len();
    let mut silent = Aggregator::start(&flags);
    silent.await_word("OTLP: exporting to ");
    assert_eq!(receiver.taken().len(), before);
}

#[test]
fn neither_help_nor_an_error_shows_headers() {
    let said = |words: &str, headers: &str| {
        let output = xcloud(words).env("XCLOUD_OTLP_HEADERS", headers).output();
        let output = output.expect("the binary runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!said.contains(TOKEN), "{said}");
        (output.status.code(), said)
    };
    let (_, help) = said("aggregator --help", &format!("authorization={TOKEN}"));
    assert!(help.contains("--otlp-headers"), "{help}");
    let wrong = "aggregator --listen 127.0.0.1:0 --otlp-endpoint http://127.0.0.1:9";
    let (code, error) = said(wrong, TOKEN);
    assert_eq!(code, Some(2));
    assert!(error.contains("--otlp-headers: header 1: is not NAME=VALUE"), "{error}");
}
