//! `xcloud split`: asks where the time went.

use std::time::SystemTime;

use anyhow::{Context as _, Result};
use prost_types::Timestamp;
use xcloud_proto::{
    common::v1::ExchangeKind,
    observer::v1::{ExchangeFilter, GroupBy, QuerySplitRequest, SiteFilter, WorkloadFilter},
};

use crate::{
    cli::{FilterArgs, GroupArg, KindArg, Output, SplitArgs},
    measure::workload::Keep,
    report::{Report, csv::csv, json::json, stages, style, table::table},
    usage::usage,
    wire::{answer::timestamp, connect},
};

/// Asks once and prints the answer.
///
/// # Errors
/// An argument is wrong, or no aggregator answers.
pub fn run(args: SplitArgs) -> Result<()> {
    let request = request(&args, SystemTime::now())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let address = &args.server.aggregator;
    let answer = runtime.block_on(async {
        let mut observer = connect::observer(address).await?;
        connect::answered(observer.query_split(request).await, address)
    })?;
    let mut answer = answer.into_inner();
    let nodes = std::mem::take(&mut answer.stages).into_iter().map(stages::Node::from);
    let profile = args.stages.then(|| nodes.collect::<Vec<_>>());
    let mut report = Report { stages: profile, ..Report::from(answer) };
    report.say_unknown(match args.group_by {
        GroupArg::Namespace => Keep::Namespace,
        GroupArg::Workload => Keep::Workload,
        GroupArg::Pod => Keep::Pod,
        _ => Keep::Nothing,
    });
    let text = match (args.output, &report.stages) {
        (Output::Table, Some(nodes)) => {
            table(&report, style::color()) + "\n" + &stages::table(nodes, style::color())
        }
        (Output::Table, None) => table(&report, style::color()),
        (Output::Json, _) => json(&report)?,
        // A sheet holds one table.
        (Output::Csv, Some(nodes)) => stages::csv(nodes)?,
        (Output::Csv, None) => csv(&report)?,
    };
    style::print(&text)?;
    Ok(())
}

fn request(args: &SplitArgs, now: SystemTime) -> Result<QuerySplitRequest> {
    if !(0.5..1.0).contains(&args.quantile) {
        return Err(usage(format!("--quantile is {}, not from 0.5 to below 1", args.quantile)));
    }
    let start = args.since.as_deref().map(|text| moment("--since", text, now)).transpose()?;
    let end = args.until.as_deref().map(|text| moment("--until", text, now)).transpose()?;
    let later = |a: &Timestamp, b: &Timestamp| (a.seconds, a.nanos) > (b.seconds, b.nanos);
    if start.as_ref().zip(end.as_ref()).is_some_and(|(start, end)| later(start, end)) {
        return Err(usage("--since is later than --until"));
    }
    Ok(QuerySplitRequest {
        filter: Some(filter(&args.filter)?),
        start,
        end,
        group_by: group(args.group_by).into(),
        tail_quantile: args.quantile,
        include_histograms: false,
        include_stages: args.stages,
    })
}

/// How paths are to be merged.
pub(crate) const fn group(group: GroupArg) -> GroupBy {
    match group {
        GroupArg::Node => GroupBy::Node,
        GroupArg::Zone => GroupBy::Zone,
        GroupArg::Region => GroupBy::Region,
        GroupArg::Cloud => GroupBy::Cloud,
        GroupArg::Namespace => GroupBy::Namespace,
        GroupArg::Workload => GroupBy::Workload,
        GroupArg::Pod => GroupBy::Pod,
    }
}

/// An RFC 3339 time or an age.
fn moment(flag: &str, text: &str, now: SystemTime) -> Result<Timestamp> {
    let time = match humantime::parse_duration(text) {
        Ok(age) => now.checked_sub(age),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    let since_1970 = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let Some(since_1970) = since_1970 else {
        return Err(usage(format!(
            "{flag} {text:?} is neither an age, as in 15m, nor a time, as in 2026-11-23T18:00:00Z"
        )));
    };
    Ok(timestamp(u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)))
}

/// What the filter flags say.
///
/// # Errors
/// Labels cannot be read.
pub fn filter(args: &FilterArgs) -> Result<ExchangeFilter> {
    let end = |flag, text: &Option<String>| {
        text.as_deref().map(|text| end_filter(flag, text)).transpose()
    };
    let (near, near_workload) = end("--near", &args.near)?.unzip();
    let (far, far_workload) = end("--far", &args.far)?.unzip();
    let kind = |kind: &KindArg| match kind {
        KindArg::Handshake => ExchangeKind::Handshake,
        KindArg::Ack => ExchangeKind::Ack,
        KindArg::Response => ExchangeKind::Response,
    };
    Ok(ExchangeFilter {
        near,
        far,
        kinds: args.kinds.iter().map(|one| kind(one).into()).collect(),
        near_workload,
        far_workload,
    })
}

fn end_filter(flag: &str, text: &str) -> Result<(SiteFilter, WorkloadFilter)> {
    let mut site = SiteFilter::default();
    let mut workload = WorkloadFilter::default();
    for pair in text.split(',').map(str::trim) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(usage(format!(
                "{flag} {text:?}: {pair:?} is not label=value, as in cloud=aws,region=us-east-1"
            )));
        };
        let (name, value) = (name.trim(), value.trim());
        let field = match name {
            "cloud" => &mut site.cloud,
            "region" => &mut site.region,
            "zone" => &mut site.zone,
            "node" => &mut site.node,
            "cluster" => &mut site.cluster,
            "namespace" => &mut workload.namespace,
            "workload" => &mut workload.name,
            "kind" => &mut workload.kind,
            "pod" => &mut workload.pod,
            _ => {
                return Err(usage(format!(
                    "{flag} {text:?}: there is no label {name:?}, only cloud, region, zone, node, cluster, namespace, \
                     workload, kind and pod"
                )));
            }
        };
        if value.is_empty() {
            return Err(usage(format!("{flag} {text:?}: {name} has no value")));
        }
        if !field.is_empty() {
            return Err(usage(format!("{flag} {text:?}: {name} is given twice")));
        }
        *field = value.into();
    }
    Ok((site, workload))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn labels_are_read() {
        let (site, workload) =
            end_filter("--near", "cloud=aws, node=a=b,namespace=shop,workload=cart")
                .expect("readable");
        assert_eq!((&site.cloud[..], &site.node[..]), ("aws", "a=b"));
        assert_eq!((&workload.namespace[..], &workload.name[..]), ("shop", "cart"));
    }

    #[test]
    fn wrong_labels_are_explained() {
        let wrong = ["aws", "cloud=", "clout=aws", "cloud=a,cloud=b", ""]
            .map(|text| end_filter("--near", text).expect_err("wrong").to_string());
        insta::assert_snapshot!(wrong.join("\n"), @r#"
        --near "aws": "aws" is not label=value, as in cloud=aws,region=us-east-1
        --near "cloud=": cloud has no value
        --near "clout=aws": there is no label "clout", only cloud, region, zone, node, cluster, namespace, workload, kind and pod
        --near "cloud=a,cloud=b": cloud is given twice
        --near "": "" is not label=value, as in cloud=aws,region=us-east-1
        "#);
    }

    #[test]
    fn a_moment_is_an_age_or_a_time() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let seconds = |text| moment("--since", text, now).map(|time| time.seconds).ok();
        assert_eq!(seconds("15m"), Some(999_100));
        assert_eq!(seconds("1970-01-02T00:00:00Z"), Some(86_400));
        assert_eq!(seconds("yesterday"), None);
        assert_eq!(seconds("1000years"), None);
    }
}
