use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    super::{Sink, Value, family, write},
    *,
};

#[derive(Debug)]
struct One;

impl Source for One {
    fn tell(&self, sink: &mut dyn Sink) {
        write(sink, &family::REFUSED, &[(&[], Value::Count(5))]);
    }
}

/// Serves, sends these bytes and returns what comes back until the connection is closed.
async fn asked(bytes: &[u8]) -> String {
    let endpoint = Endpoint::bind("127.0.0.1:0".parse().expect("an address")).await.expect("free");
    let address = endpoint.address().expect("bound");
    let server = tokio::spawn(endpoint.serve(Arc::new(One)));
    let mut stream = TcpStream::connect(address).await.expect("listening");
    // It may be refused before all of it is sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    server.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_scrape_is_answered_in_the_format_it_asks_for() {
    let text = asked(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    assert!(
        text.ends_with("# TYPE xcloud_refused_total counter\nxcloud_refused_total 5\n"),
        "{text}"
    );
    let open = asked(
        b"GET /metrics HTTP/1.1\r\nhost: x\r\naccept: application/openmetrics-text;version=1.0.0\r\n\r\n",
    )
    .await;
    assert!(open.contains("content-type: application/openmetrics-text"), "{open}");
    assert!(
        open.ends_with("# TYPE xcloud_refused counter\nxcloud_refused_total 5\n# EOF\n"),
        "{open}"
    );
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let status = |answer: String| answer.lines().next().unwrap_or_default().to_owned();
    let elsewhere = asked(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(status(elsewhere), "HTTP/1.1 404 Not Found");
    let post = asked(b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status(post), "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(
        status(asked(b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n").await),
        "HTTP/1.1 400 Bad Request"
    );
    let many = "x: y\r\n".repeat(MOST_HEADERS + 1);
    let many = format!("GET /metrics HTTP/1.1\r\n{many}\r\n");
    assert!(status(asked(many.as_bytes()).await).contains(" 431 "));
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    assert!(!asked(long.as_bytes()).await.contains("200 OK"));
}

#[tokio::test]
async fn who_says_nothing_is_cut_off() {
    let answer = asked(b"GET /metrics HTTP/1.1\r\nhost").await;
    assert!(!answer.contains("200 OK"), "{answer}");
}
