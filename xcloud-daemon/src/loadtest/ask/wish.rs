//! From flags to a specification; what makes no sense is said before anybody is asked.

use anyhow::Result;
use xcloud_proto::loadtest::v1::{
    LoadTestSpec, Probes, RequestProtocol, Requests, Throughput, load_test_spec::Kind,
};

use super::super::spec::Spec;
use crate::{
    cli::loadtest::{RunArgs, RunKind, RunRequestsArgs},
    usage::usage,
};

/// What `xcloud load run` asks for.
pub(super) fn spec(args: &RunArgs) -> Result<LoadTestSpec> {
    let wire = LoadTestSpec {
        from: args.from.clone(),
        to: args.to.clone(),
        duration: prost_types::Duration::try_from(args.duration).ok(),
        name: args.name.clone(),
        kind: Some(kind(&args.kind)),
    };
    Spec::read(&wire).map_err(usage)?;
    Ok(wire)
}

fn kind(kind: &RunKind) -> Kind {
    match kind {
        RunKind::Throughput(args) => Kind::Throughput(Throughput {
            streams: args.parallel,
            udp: args.udp,
            bits_per_second: args.bitrate.unwrap_or(0),
            reverse: args.reverse,
            omit: Some(prost_types::Duration { seconds: args.omit.into(), nanos: 0 }),
        }),
        RunKind::Rr(args) => requests(RequestProtocol::Rr, args),
        RunKind::Crr(args) => requests(RequestProtocol::Crr, args),
        RunKind::UdpRr(args) => requests(RequestProtocol::UdpRr, args),
        RunKind::Http(args) => requests(RequestProtocol::Http, args),
        RunKind::Grpc(args) => requests(RequestProtocol::Grpc, args),
        RunKind::Stamp(args) => Kind::Probes(Probes {
            interval: prost_types::Duration::try_from(args.interval).ok(),
            flows: args.flows,
        }),
    }
}

fn requests(protocol: RequestProtocol, args: &RunRequestsArgs) -> Kind {
    Kind::Requests(Requests {
        protocol: protocol.into(),
        requests_per_second: args.rate.unwrap_or(0),
        max_requests: args.max_requests.unwrap_or(0),
        connections: args.connections,
        request_bytes: args.request.unwrap_or_else(|| u32::from(protocol != RequestProtocol::Http)),
        response_bytes: args.answer,
        threads: args.threads,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, load::LoadCommand};

    fn asked(words: &str) -> Result<LoadTestSpec> {
        let line = format!("xcloud load run --from a --to b {words}");
        let Command::Load(LoadCommand::Run(args)) =
            Cli::try_parse_from(line.split_whitespace())?.command
        else {
            anyhow::bail!("another command");
        };
        spec(&args)
    }

    #[test]
    fn flags_may_come_before_and_after_the_kind() {
        let spec = asked("-d 3s throughput -P 4 -b 1G --dry-run --name step-1").expect("sound");
        assert_eq!((spec.duration.map(|d| d.seconds), &*spec.name), (Some(3), "step-1"));
        let Some(Kind::Throughput(wish)) = spec.kind else { panic!("another kind") };
        assert_eq!((wish.streams, wish.bits_per_second), (4, 1_000_000_000));
        let spec = asked("http -R 100 -d 2s --answer 1000").expect("sound");
        assert_eq!(spec.duration.map(|d| d.seconds), Some(2));
        asked("stamp --interval 1ms --flows 4").expect("sound");
    }

    #[test]
    fn what_makes_no_sense_is_a_wrong_argument() {
        for words in [
            "throughput -u",
            "rr -R 5 --max-requests 5",
            "stamp -i 1ns",
            "rr -R 5 -d 0s",
            "throughput -P 500",
        ] {
            assert!(asked(words).is_err(), "{words}");
        }
    }
}
