use anyhow::Result;
use clap::Parser as _;
use insta::assert_snapshot;

use crate::{
    cli::{Cli, Command},
    cost::{
        command,
        measured::tests::{path, site},
        route::Route,
        show,
        tariff::Tariffs,
    },
};
use xcloud_proto::{common::v1::EgressKind, observer::v1::NodeEgress};

/// What the command prints, with these arguments after `xcloud cost --from aws/us-east-1`.
fn says(arguments: &str) -> Result<String> {
    let line = format!("xcloud cost --from aws/us-east-1 {arguments}");
    let Command::Cost(args) = Cli::try_parse_from(line.split(' '))?.command else {
        unreachable!("the command is cost")
    };
    let tariffs = args.tariffs.as_deref().map_or_else(Tariffs::built_in, Tariffs::with_file)?;
    if let Some(file) = &args.usage {
        return command::workloads(&args, args.from.as_ref().expect("--from"), file, &tariffs);
    }
    let from = args.from.clone().expect("--from");
    let (to, bytes) = (args.to.clone().expect("--to"), args.bytes.expect("--bytes"));
    let route = Route::new(from, to, args.path.as_deref(), &args.via)?;
    show::answer(&command::answer(&args, route, bytes, &tariffs)?, args.output)
}

#[test]
fn the_claim_that_fewer_packets_save_money_gets_a_number() {
    let text = says("--to gcp/us-central1 --bytes 10TB --payload 9.6TB --what-if packets=-12%");
    assert_snapshot!("packets", text.expect("an answer"));
}

#[test]
fn another_path_says_from_where_on_it_pays() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mine.toml");
    let mine = r#"
        schema = "xcloud.tariffs.v1"
        cloud = "gcp"
        version = "our contract"
        [[charge]]
        id = "gcp-interconnect-attachment"
        path = "interconnect*"
        side = "either"
        per = "VLAN attachment"
        usd_per_hour = "0.5"
        status = "listed"
        source = "contract 4711"
        read = "2026-11-23"
    "#;
    std::fs::write(&file, mine).expect("writable");
    let text = says(&format!(
        "--to gcp/us-central1 --bytes 60TB --month-to-date 1TB --via nat-gateway --what-if path=interconnect \
         --what-if compression=2.5 --tariffs {}",
        file.display()
    ));
    assert_snapshot!("paths", text.expect("an answer"));
}

/// Whatever is not known could be dearer than all that is saved.
#[test]
fn a_path_without_a_price_is_never_called_cheaper() {
    let wanted = "--to gcp/us-central1 --bytes 10TB --what-if path=capacity --what-if packets=-12%";
    let json: serde_json::Value =
        serde_json::from_str(&says(&format!("{wanted} -o json")).expect("JSON")).expect("JSON");
    let [capacity, packets] = [0, 1].map(|at| json["what_if"][at].clone());
    for field in ["cheaper", "difference", "pays_from_bytes"] {
        assert!(capacity[field].is_null(), "{field}: {}", capacity[field]);
    }
    assert_eq!(capacity["unknown"][1], "gcp-cross-cloud-capacity");
    assert_eq!(packets["cheaper"], true);
    let text = says(wanted).expect("an answer");
    let says_so = "what if by capacity: cannot be said, the price is not known of aws-direct-connect-flat, gcp-cross";
    assert!(text.contains(says_so) && !text.contains("never dearer"), "{text}");
    let csv = says(&format!("{wanted} -o csv")).expect("CSV");
    assert!(csv.contains("\nby capacity,gcp-cross-cloud-capacity,,"), "{csv}");
    // On one way what has no price is the same before and after.
    let text = says("--to gcp/us-central1 --bytes 10TB --path interconnect --what-if packets=-12%");
    let text = text.expect("an answer");
    assert!(text.contains("fewer packets: 0.83 USD less\n"), "{text}");
    assert!(text.contains("  at least 0.3542 USD per GB on the wire"), "{text}");
}

#[test]
fn programs_get_exact_amounts() {
    let text = says("--to gcp/us-central1 --bytes 1GiB --path interconnect -o json");
    assert_snapshot!("json", text.expect("an answer"));
    let text = says("--to gcp/us-central1 --bytes 1TB --what-if overhead=50 -o csv");
    assert_snapshot!("csv", text.expect("an answer"));
}

#[test]
fn a_usage_file_is_a_months_bill_by_workload() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("usage.csv");
    let rows = "workload,to_site,bytes,packets\nshop/api,gcp/us-central1,15000000000000,11000000000\n\
                shop/\u{1b}[31mlog,azure/eastus,5000000000000,\n";
    std::fs::write(&file, rows).expect("writable");
    let month = |output| says(&format!("--usage {} -o {output}", file.display())).expect("a month");
    assert_snapshot!("month", month("table"));
    assert_snapshot!("month_csv", month("csv"));
    let json: serde_json::Value = serde_json::from_str(&month("json")).expect("JSON");
    assert_eq!(json["bill"]["total"], "1741.5");
    assert_eq!(json["rows"][0]["usd"], "1306.125");
}

#[test]
fn what_was_counted_shows_payload_beside_wire_bytes() {
    let (aws, gcp) = (site("aws", "us-east-1", "a"), site("gcp", "us-central1", "b"));
    let paths = vec![
        path("veth1", EgressKind::Plain, Some(gcp), 5_000_000_000_000),
        path("", EgressKind::Encrypted, None, 80_000),
        path("veth\u{1b}[31m", EgressKind::Plain, None, 1_000),
    ];
    let node = NodeEgress { site: Some(aws), counted_for_ns: 90_000_000_000, paths };
    let tariffs = Tariffs::built_in().expect("sound");
    let shown = |output: &str| {
        let line = format!("xcloud cost --aggregator 127.0.0.1:7171 -o {output}");
        let command = Cli::try_parse_from(line.split(' ')).expect("a command").command;
        let Command::Cost(args) = command else { unreachable!("the command is cost") };
        command::measured(&args, std::slice::from_ref(&node), &tariffs).expect("an answer")
    };
    assert_snapshot!("measured", shown("table"));
    assert_snapshot!("measured_csv", shown("csv"));
    let json: serde_json::Value = serde_json::from_str(&shown("json")).expect("JSON");
    assert_eq!(json["rows"][0]["payload_bytes"], 4_500_000_000_000u64);
    assert_eq!(json["unpriced"][0]["to_site"], "unknown");
    assert_eq!(json["nodes"][0]["counted_for_s"], 90);
}

#[test]
fn a_price_of_ones_own_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mine.toml");
    let mine = r#"
        schema = "xcloud.tariffs.v1"
        cloud = "aws"
        version = "our contract"
        [[charge]]
        id = "aws-internet-north-america"
        path = "internet"
        unit = "GB"
        tiers = [{ usd = "0.02" }]
        status = "listed"
        source = "contract 4711"
        read = "2026-11-23"
    "#;
    std::fs::write(&file, mine).expect("writable");
    let text = says(&format!("--to gcp/us-central1 --bytes 1TB --tariffs {}", file.display()));
    let text = text.expect("an answer");
    assert!(text.contains("20.00 USD") && text.contains("contract 4711"), "{text}");
}
