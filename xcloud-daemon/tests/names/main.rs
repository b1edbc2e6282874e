//! Where an agent says it is: the real binary, and metadata services as they speak, on loopback.
//!
//! The agent tells where it is before it looks at the kernel, so neither root nor kernel programs are needed.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

/// What a request asks for: its first line, and a header that it must have.
type Question = (&'static str, &'static str);

/// A service that answers what it knows and refuses everything else, until the test ends.
struct Service {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn begin(answers: &[(Question, &str)]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let answers: HashMap<_, _> =
            answers.iter().map(|(question, answer)| (*question, (*answer).to_owned())).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever hangs up does not want to know.
                let _ = answer(stream, &answers, &log);
            }
        });
        Self { address, asked }
    }

    /// One that takes connections and says nothing.
    fn silent() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        (listener, address)
    }
}

fn answer(
    mut stream: TcpStream,
    answers: &HashMap<Question, String>,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(char::from(byte[0]));
    }
    let first = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let found = answers
        .iter()
        .find(|((line, header), _)| first == *line && head.to_lowercase().contains(header));
    log.lock().expect("sound").push(first);
    let (status, body) = found.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", body));
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// An agent that is asked where it is, and ended then.
struct Asked(Child);

impl Drop for Asked {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the agent says of its location: all such lines but for the time.
fn told(args: &[&str]) -> Vec<String> {
    let child = Command::new(env!("CARGO_BIN_EXE_xcloud"))
        .args(["agent", "--aggregator", "127.0.0.1:1", "--node", "n1"])
        // Should it get further before it is ended, nothing of this machine is hooked.
        .args(["--uplink", "none-there", "--pod-interface", "none-there"])
        .args(args)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut agent = Asked(child);
    let lines = BufReader::new(agent.0.stderr.take().expect("piped")).lines();
    let mut told = Vec::new();
    for line in lines.map_while(Result::ok) {
        let Some((_, said)) = line.split_once("] ") else { break };
        if said.starts_with("configuration of agent") {
            continue;
        }
        // What comes after it shows that it has been said.
        let Some(said) = said.strip_prefix("location: ") else { break };
        told.push(said.to_owned());
    }
    told
}

fn asking(service: SocketAddr, dmi: &Path, more: &[&str]) -> Vec<String> {
    let address = service.to_string();
    let dmi = dmi.to_str().expect("a path");
    let fixed = ["--metadata-address", &address, "--dmi", dmi, "--kubernetes", "off"];
    told(&[&fixed, more].concat())
}

const AWS: [(Question, &str); 3] = [
    (("PUT /latest/api/token", "x-aws-ec2-metadata-token-ttl-seconds: 60"), "secret-token"),
    (
        (
            "GET /latest/meta-data/placement/availability-zone",
            "x-aws-ec2-metadata-token: secret-token",
        ),
        "us-east-1a",
    ),
    (
        ("GET /latest/meta-data/placement/region", "x-aws-ec2-metadata-token: secret-token"),
        "us-east-1",
    ),
];
const GCP: [(Question, &str); 1] = [(
    ("GET /computeMetadata/v1/instance/zone", "metadata-flavor: google"),
    "projects/1234/zones/us-central1-b",
)];
const AZURE: [(Question, &str); 1] = [(
    ("GET /metadata/instance/compute?api-version=2021-02-01&format=json", "metadata: true"),
    r#"{"location":"eastus","zone":"2","vmId":"x"}"#,
)];

#[test]
fn each_metadata_service_is_understood() {
    let nothing = Path::new("/nowhere");
    let of = |answers: &[(Question, &str)]| asking(Service::begin(answers).address, nothing, &[]);
    assert_eq!(
        of(&AWS),
        ["cloud aws, region us-east-1, zone us-east-1a, by AWS' metadata service"]
    );
    assert_eq!(
        of(&GCP),
        ["cloud gcp, region us-central1, zone us-central1-b, by GCP's metadata server"]
    );
    assert_eq!(
        of(&AZURE),
        ["cloud azure, region eastus, zone eastus-2, by Azure's metadata service"]
    );
}

#[test]
fn flags_count_more_than_the_service_and_whole_ones_ask_nobody() {
    let service = Service::begin(&AWS);
    let nothing = Path::new("/nowhere");
    let said = asking(service.address, nothing, &["--cloud", "gcp"]);
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("contradicts cloud gcp"), "{said:?}");
    let service = Service::begin(&AWS);
    let whole = ["--cloud", "aws", "--region", "us-east-1", "--zone", "us-east-1c"];
    assert_eq!(asking(service.address, nothing, &whole), Vec::<String>::new());
    assert_eq!(*service.asked.lock().expect("sound"), Vec::<String>::new());
}

#[test]
fn without_a_service_the_firmware_names_the_cloud_and_else_nobody_does() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("sys_vendor"), "Amazon EC2\n").expect("writable");
    let service = Service::begin(&[]);
    let said = asking(service.address, directory.path(), &[]);
    assert_eq!(said, ["cloud aws, region unknown, zone unknown, by the firmware"]);
    let said = asking(service.address, Path::new("/nowhere"), &[]);
    assert_eq!(said, ["nobody says which cloud this is; --cloud, --region and --zone do"]);
    let off = asking(service.address, Path::new("/nowhere"), &["--metadata", "off"]);
    assert_eq!(off.len(), 1);
}

#[test]
fn a_service_that_says_nothing_or_nonsense_is_not_believed_and_not_waited_for() {
    let (_listening, silent) = Service::silent();
    let said = asking(silent, Path::new("/nowhere"), &[]);
    assert_eq!(said.len(), 1, "{said:?}");
    let mut odd = AWS;
    odd[2].1 = "us east\u{1b}[31m";
    let said = asking(Service::begin(&odd).address, Path::new("/nowhere"), &[]);
    assert_eq!(said, ["nobody says which cloud this is; --cloud, --region and --zone do"]);
}

#[test]
fn the_nodes_labels_count_more_than_the_service() {
    let node = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","labels":{
        "topology.kubernetes.io/region":"us-east-1","topology.kubernetes.io/zone":"us-east-1b"}},
        "spec":{"providerID":"aws:///us-east-1b/i-1"}}"#;
    let api = Service::begin(&[(("GET /api/v1/nodes/n1", "host"), node)]);
    let service = Service::begin(&AWS);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("kubeconfig");
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: k, cluster: {{server: 'http://{}'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n",
        api.address
    );
    fs::write(&file, config).expect("writable");
    let address = service.address.to_string();
    let said = told(&[
        "--metadata-address",
        &address,
        "--kubeconfig",
        file.to_str().expect("a path"),
        "--dmi",
        "/nowhere",
    ]);
    assert_eq!(said, ["cloud aws, region us-east-1, zone us-east-1b, by the node's labels"]);
}
