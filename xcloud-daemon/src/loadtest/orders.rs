//! From a test's specification to the arguments of the processes that make it. Each argument is one `--flag=value`, so no
//! text from the network is ever taken for a flag.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use xcloud_proto::loadtest::v1::RequestProtocol;

use super::spec::{Kind, Pace, Spec};
use crate::cli::Address;

/// How much longer than the load the answering part may wait for it.
const ANSWER_SLACK: Duration = Duration::from_secs(60);

/// What the sending part needs to know beside the specification.
#[derive(Clone, Debug)]
pub struct Sending<'a> {
    /// Where the answering part waits.
    pub to: SocketAddr,
    /// Names of both ends, as places are written.
    pub labels: (&'a str, &'a str),
    /// Whom to ask where the time of the requests went.
    pub aggregator: Option<&'a Address>,
    /// Where the result goes.
    pub result: &'a Path,
}

/// For how long the answering part is there at most.
#[must_use]
pub fn answering_time(spec: &Spec) -> Duration {
    spec.whole_time() + ANSWER_SLACK
}

/// The process that answers, at a free port.
#[must_use]
pub fn answer(spec: &Spec, listen: IpAddr, max_bytes: Option<u64>, ready: &Path) -> Vec<String> {
    let any_port = SocketAddr::new(listen, 0);
    let duration = humantime::format_duration(answering_time(spec));
    let mut all = vec!["load".to_owned()];
    match spec.kind {
        Kind::Throughput { .. } => {
            all.extend(words("throughput --server --one-off --max-tests=1 --port=0"));
            all.push(format!("--bind={listen}"));
            all.push(format!("--max-duration={}", humantime::format_duration(spec.whole_time())));
            all.extend(max_bytes.map(|most| format!("--max-bytes={most}")));
        }
        Kind::Requests { request_bytes, response_bytes, .. } => {
            all.push("responder".into());
            all.push(format!("--listen={any_port}"));
            all.push(format!("--max-size={}", request_bytes.max(response_bytes).max(1)));
            all.push(format!("--duration={duration}"));
        }
        Kind::Probes { .. } => {
            all.push("stamp".into());
            all.push(format!("--reflect={any_port}"));
            all.push(format!("--duration={duration}"));
        }
    }
    all.push(format!("--ready-file={}", ready.display()));
    all
}

/// The process that sends.
#[must_use]
pub fn send(spec: &Spec, how: &Sending<'_>) -> Vec<String> {
    let mut all = vec!["load".to_owned(), spec.kind.name().to_owned()];
    match &spec.kind {
        Kind::Throughput { .. } => all.extend(throughput(spec, how.to)),
        Kind::Requests { protocol, .. } => {
            all.extend(requests(spec, *protocol, how.to));
            let tcp = *protocol != RequestProtocol::UdpRr;
            let asked = how.aggregator.filter(|_| tcp);
            all.extend(asked.map(|aggregator| format!("--aggregator={aggregator}")));
        }
        Kind::Probes { interval, flows } => all.extend([
            format!("--to={}", how.to),
            format!("--interval={}", humantime::format_duration(*interval)),
            format!("--duration={}", humantime::format_duration(spec.duration)),
            format!("--flows={flows}"),
        ]),
    }
    all.push(format!("--from-label={}", how.labels.0));
    all.push(format!("--to-label={}", how.labels.1));
    all.push(format!("--result={}", how.result.display()));
    all
}

fn throughput(spec: &Spec, to: SocketAddr) -> Vec<String> {
    let Kind::Throughput { streams, udp, bits_per_second, reverse, omit } = spec.kind else {
        return Vec::new();
    };
    let mut all = vec![
        format!("--client={}", to.ip()),
        format!("--port={}", to.port()),
        format!("--time={}", spec.duration.as_secs()),
        format!("--omit={}", omit.as_secs()),
        format!("--parallel={streams}"),
    ];
    let each = bits_per_second.map(|all| (all / u64::from(streams)).max(1));
    all.extend(each.map(|rate| format!("--bitrate={rate}")));
    all.extend(udp.then(|| "--udp".into()));
    all.extend(reverse.then(|| "--reverse".into()));
    all
}

fn requests(spec: &Spec, protocol: RequestProtocol, to: SocketAddr) -> Vec<String> {
    let Kind::Requests { pace, connections, request_bytes, response_bytes, threads, .. } =
        spec.kind
    else {
        return Vec::new();
    };
    let mut all = vec![
        format!("--duration={}", humantime::format_duration(spec.duration)),
        format!("--connections={connections}"),
        format!("--threads={threads}"),
    ];
    match pace {
        Pace::PerSecond(rate) => all.push(format!("--rate={rate}")),
        Pace::AsAnswered(most) => all.extend(most.map(|most| format!("--max-requests={most}"))),
    }
    match protocol {
        RequestProtocol::Http => {
            all.push(format!("http://{to}/payload?size={response_bytes}"));
        }
        RequestProtocol::Grpc => {
            all.push(format!("--size={request_bytes},{response_bytes}"));
            all.push(format!("http://{to}"));
        }
        _ => {
            all.push(format!("--size={request_bytes},{response_bytes}"));
            all.push(to.to_string());
        }
    }
    all
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use xcloud_proto::loadtest::v1::{
        Probes, Requests, Throughput, load_test_spec::Kind as WireKind,
    };

    use super::{super::spec::tests::asked, *};
    use crate::cli::{Cli, Command, load::LoadCommand};

    fn requests(protocol: RequestProtocol) -> WireKind {
        let protocol = protocol.into();
        WireKind::Requests(Requests { protocol, requests_per_second: 5, ..Requests::default() })
    }

    fn throughput() -> Throughput {
        Throughput { streams: 3, bits_per_second: 10, ..Throughput::default() }
    }

    fn load(arguments: Vec<String>) -> LoadCommand {
        let line = ["xcloud".to_owned()].into_iter().chain(arguments);
        match Cli::try_parse_from(line).expect("arguments that are understood").command {
            Command::Load(load) => load,
            other => panic!("{other:?} is no load"),
        }
    }

    fn sender(kind: WireKind, to: &str) -> LoadCommand {
        let aggregator = "127.0.0.1:7171".parse().expect("an address");
        let how = Sending {
            to: to.parse().expect("an address"),
            labels: ("aws/us-east-1//n1", "--gcp/us-central1"),
            aggregator: Some(&aggregator),
            result: Path::new("/tmp/a.json"),
        };
        let spec = Spec::read(&asked(kind)).expect("sound");
        load(send(&spec, &how))
    }

    #[test]
    fn every_sender_is_a_command_that_is_understood() {
        let udp = Throughput { udp: true, reverse: true, ..throughput() };
        for to in ["192.0.2.1:5201", "[2001:db8::1]:5201"] {
            for kind in [
                WireKind::Throughput(throughput()),
                WireKind::Throughput(udp),
                WireKind::Probes(Probes::default()),
                requests(RequestProtocol::Grpc),
                requests(RequestProtocol::Http),
                requests(RequestProtocol::Rr),
                requests(RequestProtocol::Crr),
                requests(RequestProtocol::UdpRr),
            ] {
                sender(kind, to);
            }
        }
    }

    #[test]
    fn what_is_asked_for_is_what_is_sent() {
        let LoadCommand::Throughput(args) =
            sender(WireKind::Throughput(throughput()), "192.0.2.1:5201")
        else {
            panic!("another command");
        };
        assert_eq!((args.client.as_deref(), args.port), (Some("192.0.2.1"), 5201));
        assert_eq!((args.load.parallel, args.load.bitrate), (3, Some((3, 1))));
        assert_eq!(args.outcome.ends.to_label.as_deref(), Some("--gcp/us-central1"));
        let LoadCommand::Rr(args) = sender(requests(RequestProtocol::Rr), "192.0.2.1:80") else {
            panic!("another command");
        };
        assert_eq!((&*args.server, args.rate.rate), ("192.0.2.1:80", Some(5)));
        assert!(args.rate.aggregator.is_some());
        let LoadCommand::UdpRr(args) = sender(requests(RequestProtocol::UdpRr), "192.0.2.1:80")
        else {
            panic!("another command");
        };
        assert_eq!(args.rate.aggregator, None, "UDP cannot be split");
    }

    #[test]
    fn every_answerer_is_a_command_that_is_understood() {
        for listen in ["192.0.2.1", "2001:db8::1"] {
            for kind in [
                WireKind::Throughput(throughput()),
                WireKind::Probes(Probes::default()),
                requests(RequestProtocol::Http),
            ] {
                let spec = Spec::read(&asked(kind)).expect("sound");
                let listen = listen.parse().expect("an address");
                load(answer(&spec, listen, Some(1 << 20), Path::new("/tmp/ready")));
            }
        }
    }
}
