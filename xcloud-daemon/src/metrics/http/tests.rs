use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};

use super::{
    super::{Sample, Sink, Value, family, write},
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

/// Tells more than fits into what lies between a teller and a reader, and counts what it told.
#[derive(Debug, Default)]
struct Much {
    told: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    fails: bool,
}

impl Much {
    const LINES: usize = 500_000;
    const LINE: &str = "xcloud_observations_lost_total{hop=\"a\",reason=\"b\"} 7\n";
}

impl Source for Much {
    fn tell(&self, sink: &mut dyn Sink) {
        let at_once = self.at_once.fetch_add(1, Relaxed) + 1;
        self.most_at_once.fetch_max(at_once, Relaxed);
        sink.family(&family::LOST);
        for line in 0..Self::LINES {
            assert!(!self.fails || line < Self::LINES / 2, "no more");
            sink.sample(Sample { labels: &["a", "b"], since_ns: 0, value: Value::Count(7) });
            self.told.fetch_add(1, Relaxed);
        }
        self.at_once.fetch_sub(1, Relaxed);
    }
}

/// Serves it, and connections that ask for it.
async fn asking<const N: usize>(source: &Arc<Much>) -> ([TcpStream; N], JoinHandle<()>) {
    let endpoint = Endpoint::bind("127.0.0.1:0".parse().expect("an address")).await.expect("free");
    let address = endpoint.address().expect("bound");
    let source: Arc<dyn Source> = Arc::clone(source) as _;
    let server = tokio::spawn(endpoint.serve(source));
    let mut streams = Vec::new();
    for _ in 0..N {
        let mut stream = TcpStream::connect(address).await.expect("listening");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("taken");
        streams.push(stream);
    }
    (streams.try_into().expect("as many"), server)
}

/// Waits until no more is told. Returns how much was.
async fn still(source: &Much) -> usize {
    let mut told = usize::MAX;
    while told != source.told.load(Relaxed) || told == 0 {
        told = source.told.load(Relaxed);
        sleep(Duration::from_millis(300)).await;
    }
    told
}

#[tokio::test]
async fn no_more_is_made_than_is_read_and_no_more_than_two_at_once() {
    let source = Arc::new(Much::default());
    let (streams, server) = asking::<4>(&source).await;
    let told = still(&source).await;
    assert!(
        told < Much::LINES,
        "two answers would be {} lines, and {told} were made",
        2 * Much::LINES
    );
    let reading = streams.map(|mut stream| {
        tokio::spawn(async move {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect("an answer");
            assert!(answer.len() > Much::LINES * Much::LINE.len());
            assert!(answer.ends_with(b"\r\n0\r\n\r\n"), "it is whole");
        })
    });
    for reader in reading {
        reader.await.expect("read");
    }
    assert_eq!(source.most_at_once.load(Relaxed), 2);
    server.abort();
}

#[tokio::test]
async fn who_hangs_up_is_told_no_more_and_gives_his_turn_back() {
    let source = Arc::new(Much::default());
    for _ in 0..3 {
        let (streams, server) = asking::<4>(&source).await;
        still(&source).await;
        drop(streams);
        while source.at_once.load(Relaxed) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
        server.abort();
    }
}

#[tokio::test]
async fn an_answer_that_fails_half_way_does_not_look_whole() {
    let source = Arc::new(Much { fails: true, ..Much::default() });
    let ([mut stream], server) = asking(&source).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200") && !answer.ends_with(b"0\r\n\r\n"));
    server.abort();
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
