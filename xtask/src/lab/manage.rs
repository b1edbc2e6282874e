//! `cargo xtask lab`: a lab that stays up, for stock tools.

use std::{fmt::Write as _, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{
    Lab,
    args::{LabArgs, Output},
    plan::{AGGREGATOR, Cloud, LOAD_PORT, UPLINK},
    run,
    state::{self, State},
};
use crate::{netns, signals};

/// Brings a lab up and leaves it standing. Traffic runs only when `--load` was given.
pub(crate) fn up(args: &LabArgs) -> Result<()> {
    signals::stop_flag()?;
    super::check(args)?;
    let mut lab = Lab::up(args, run::xcloud(args)?, true)?;
    if args.load.is_some()
        && let Err(error) = lab.start_clients(args, args.duration())
    {
        lab.keep = false;
        return Err(error);
    }
    let names = lab.plan().names().join(", ");
    eprintln!(
        "The lab is up: {names}\n\
         cargo xtask lab exec {} -- ip route     # run anything in it\n\
         cargo xtask lab status                  # addresses, interfaces, the wire's own figures\n\
         xcloud split --aggregator {}\n\
         cargo xtask lab down",
        lab.plan().clouds[0].node,
        lab.aggregator()
    );
    Ok(())
}

fn state(name: &str) -> Result<State> {
    state::load(name)?
        .with_context(|| format!("no lab {name:?} is up: start one with cargo xtask lab up"))
}

/// Replaces this process by `words`, inside a node or pod.
pub(crate) fn exec(name: &str, place: &str, words: &[String]) -> Result<()> {
    let state = state(name)?;
    let Some(namespace) = state.plan.find(place) else {
        let known = state.plan.names().join(", ");
        bail!("the lab has no {place:?}; it has {known}");
    };
    let [program, arguments @ ..] = words else {
        bail!("nothing to run: cargo xtask lab exec {place} -- COMMAND");
    };
    let mut command = Command::new(program);
    netns::enter(&mut command, namespace)?;
    let error = command.args(arguments).exec();
    Err(error).with_context(|| format!("running {program} in {place}"))
}

/// Takes the lab down.
pub(crate) fn down(name: &str) -> Result<()> {
    let _lock = state::lock(name)?;
    match state::load(name)? {
        Some(state) => state.tear_down(),
        None => {
            eprintln!("no lab {name:?} is up");
            Ok(())
        }
    }
}

/// Prints what the lab consists of.
pub(crate) fn status(name: &str, output: Output) -> Result<()> {
    let status = describe(&state(name)?);
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        Output::Table => print!("{}", table(&status)),
    }
    Ok(())
}

fn describe(state: &State) -> Value {
    let directory = state::directory(&state.plan.name);
    let wire = run::read_wire_report(&directory.join("wire-report.json")).ok();
    let processes = state.processes.iter().map(|p| {
        let log = directory.join(format!("{}.log", p.name));
        json!({"name": p.name, "pid": p.pid, "alive": p.alive(), "log": log})
    });
    json!({
        "name": state.plan.name,
        "aggregator": {
            "tcp": AGGREGATOR,
            "netns": state.plan.mgmt,
            "unix": directory.join("aggregator.sock"),
        },
        "clouds": state.plan.clouds.iter().map(cloud).collect::<Vec<_>>(),
        "processes": processes.collect::<Vec<_>>(),
        "wire": wire,
    })
}

fn cloud(cloud: &Cloud) -> Value {
    let pods = cloud.pods.iter().map(|pod| {
        json!({
            "name": pod.name, "netns": pod.netns, "interface": pod.interface,
            "ipv4": pod.ipv4, "ipv6": pod.ipv6, "port": LOAD_PORT,
        })
    });
    json!({
        "cloud": cloud.name, "region": cloud.region, "node": cloud.node, "netns": cloud.netns,
        "uplink": {"interface": UPLINK, "ipv4": cloud.uplink_ipv4(), "ipv6": cloud.uplink_ipv6()},
        "pods": pods.collect::<Vec<_>>(),
        "injected": cloud.injected,
    })
}

fn table(status: &Value) -> String {
    let mut out = String::new();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut row = |cells: [&Value; 5]| {
        let cells = cells.map(text);
        let _ = writeln!(
            out,
            "{:<16}{:<22}{:<12}{:<16}{}",
            cells[0], cells[1], cells[2], cells[3], cells[4]
        );
    };
    let head = ["NAME", "NAMESPACE", "INTERFACE", "IPV4", "IPV6"].map(Value::from);
    row([&head[0], &head[1], &head[2], &head[3], &head[4]]);
    for cloud in status["clouds"].as_array().into_iter().flatten() {
        let up = &cloud["uplink"];
        row([&cloud["node"], &cloud["netns"], &up["interface"], &up["ipv4"], &up["ipv6"]]);
        for pod in cloud["pods"].as_array().into_iter().flatten() {
            row([&pod["name"], &pod["netns"], &pod["interface"], &pod["ipv4"], &pod["ipv6"]]);
        }
    }
    let _ = writeln!(out, "\naggregator: unix:{}", text(&status["aggregator"]["unix"]));
    for process in status["processes"].as_array().into_iter().flatten() {
        let state = if process["alive"] == true { "runs" } else { "ended" };
        let _ = writeln!(out, "{:<16}{state:<8}{}", text(&process["name"]), text(&process["log"]));
    }
    if let Ok(report) = serde_json::from_value(status["wire"].clone()) {
        let _ = writeln!(out, "{}", run::describe(&report));
    }
    out
}
