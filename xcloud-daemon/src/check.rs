//! `xcloud check`: what this kernel and this node allow, and what would attach where.

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use tokio::runtime;

use crate::{
    access::confine::landlock,
    agent::identity::kernel_release,
    cli::{CheckArgs, Output},
    escape::{self, clean},
    kernel::{
        ifaces::{self, Decision, Role},
        podns::{self, PodEnd},
        probe::{self, Answer, DepartureHook, Finding, LOCKED, Plan, TcHook},
    },
    report::{json::json, style},
};

pub mod cni;
pub mod files;
pub mod stages;
#[cfg(test)]
mod tests;

use cni::{Cni, Traces, Visible};
use files::Files;
use stages::Probed;

/// All that was found out. Serialised names are stable.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Release of the running kernel.
    pub kernel: String,
    /// Whether nothing stands against measuring here.
    pub ready: bool,
    /// What the kernel answered.
    pub features: Vec<Finding>,
    /// Which hooks would be used.
    pub plan: Plan,
    /// The CNI and its mode.
    pub cni: Cni,
    /// What is visible of pods' traffic at each hook in that mode.
    pub visible: Vec<Visible>,
    /// Every interface, and what would attach to it.
    pub interfaces: Vec<Watched>,
    /// What `xcloud agent --stages` could tell of what CNI segments are made of.
    pub stages: Vec<Probed>,
    /// Whether an aggregator could put other files out of its reach.
    pub files: Option<Files>,
    /// What stands against measuring, and what to do about it.
    pub missing: Vec<String>,
    /// What could not be found out.
    pub unknown: Vec<String>,
}

/// An interface, and what would attach to it.
#[derive(Clone, Debug, Serialize)]
pub struct Watched {
    /// The decision about it.
    #[serde(flatten)]
    pub decision: Decision,
    /// Hooks, as `hook=back_end`.
    pub hooks: Vec<String>,
    /// For a pod's interface: whether the hooks can move inside the pod, and when they would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
}

/// Prints it; fails when this node cannot measure.
///
/// # Errors
/// Something needed is missing, an interface named is not there, or nothing could be printed.
pub fn run(args: CheckArgs) -> Result<()> {
    let check = look(&args)?;
    style::print(&render(&check, args.output)?)?;
    if !check.ready {
        bail!("this node cannot measure: {}", check.missing.join("; "));
    }
    Ok(())
}

fn look(args: &CheckArgs) -> Result<Check> {
    let wanted = &args.interfaces;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    let facts = runtime.block_on(ifaces::read())?;
    ifaces::check_names(&facts, wanted)?;
    let features = probe::probe();
    let plan = wanted.plan(&features);
    let traces = cni::look(&args.root, &facts);
    let decisions = ifaces::decide(&facts, wanted);
    let mut check = judge(kernel_release(), features, plan, decisions, &traces);
    check.stages = stages::look();
    check.files = Some(files::judge(landlock()));
    for watched in &mut check.interfaces {
        if watched.decision.role == Some(Role::Pod) {
            let end = wanted.pod_namespaces.then(|| {
                ensure!(check.plan.reads_kernel, "naming the pod reads kernel memory: {LOCKED}");
                runtime.block_on(podns::find(watched.decision.index))
            });
            let kind = &watched.decision.kind;
            let sockets = wanted.pod_sockets && check.plan.reads_kernel;
            watched.inside = Some(inside(kind, end, sockets));
        }
    }
    Ok(check)
}

/// Whether the hooks can move inside the pod, and when they would.
fn inside(kind: &str, end: Option<Result<PodEnd>>, sockets: bool) -> String {
    let netkit = kind == "netkit";
    match end {
        Some(Ok(PodEnd { path, interface, .. })) if netkit => {
            format!("netkit, so hooked at {interface} inside the pod, {}", path.display())
        }
        Some(Ok(PodEnd { path, interface, .. })) => format!(
            "hooked at {interface} inside the pod, {}, once packets go past this interface",
            path.display()
        ),
        refused => {
            let when = if netkit { "" } else { "once packets go past this interface, " };
            let why = refused
                .and_then(Result::err)
                .map_or_else(|| "--pod-namespaces is false".into(), |error| format!("{error:#}"));
            let what = if sockets && !netkit { "seen at its sockets" } else { "not visible" };
            format!("{when}{what}, as it cannot be hooked inside the pod: {why}")
        }
    }
}

fn judge(
    kernel: String,
    features: Vec<Finding>,
    plan: Plan,
    decisions: Vec<Decision>,
    traces: &Traces,
) -> Check {
    let cni = cni::recognise(traces);
    let mut missing = plan.missing.clone();
    if !decisions.iter().any(|d| d.role == Some(Role::Uplink)) {
        missing.push("no uplink was found: the reasons are above; name one with --uplink".into());
    }
    let unknown = features
        .iter()
        .filter(|finding| finding.answer == Answer::Unknown)
        .map(|finding| format!("{}: {}", name(&finding.feature), finding.detail))
        .collect();
    let interfaces = decisions
        .into_iter()
        .map(|decision| Watched { hooks: hooks(&plan, decision.role), inside: None, decision })
        .collect();
    Check {
        kernel,
        ready: missing.is_empty(),
        features,
        plan,
        visible: cni::visible(&cni),
        cni,
        interfaces,
        stages: Vec::new(),
        files: None,
        missing,
        unknown,
    }
}

fn hooks(plan: &Plan, role: Option<Role>) -> Vec<String> {
    let tc =
        |hook: &str, how: TcHook| (how != TcHook::None).then(|| format!("{hook}={}", name(&how)));
    let hooks = match role {
        None => vec![],
        Some(Role::Pod) => vec![tc("pod_out", plan.pod_hook), tc("pod_in", plan.pod_hook)],
        Some(Role::Uplink) => vec![
            tc("uplink_in", plan.uplink_in),
            (plan.uplink_out != DepartureHook::None)
                .then(|| format!("uplink_out={}", name(&plan.uplink_out))),
            plan.queue_hook.then(|| tc("uplink_queue", plan.uplink_in)).flatten(),
        ],
    };
    hooks.into_iter().flatten().collect()
}

/// The stable name of a fieldless variant.
fn name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

fn render(check: &Check, output: Output) -> Result<String> {
    match output {
        Output::Table => Ok(table(check)),
        Output::Json => json(check),
        Output::Csv => csv(check),
    }
}

/// One list of four columns; `section` tells what a row is about.
fn rows(check: &Check) -> Vec<[String; 4]> {
    let features = check
        .features
        .iter()
        .map(|f| ["feature".into(), name(&f.feature), name(&f.answer), f.detail.clone()]);
    let interfaces = check.interfaces.iter().map(|watched| {
        let Watched { decision, hooks, inside } = watched;
        let role = decision.role.map_or_else(|| "left out".into(), |r| name(&r));
        let why = if hooks.is_empty() {
            decision.reason.clone()
        } else {
            let inside = inside.as_ref().map_or_else(String::new, |inside| format!("; {inside}"));
            format!("{}; {}{inside}", decision.reason, hooks.join(" "))
        };
        ["interface".into(), decision.name.clone(), role, why]
    });
    let Cni { plugin, chained, datapath, wraps, evidence } = &check.cni;
    let parts = chained.iter().map(name).chain([name(datapath)]).chain(wraps.iter().map(name));
    let mode = parts.collect::<Vec<_>>().join(" ");
    let cni = ["cni".into(), name(plugin), mode, evidence.join("; ")];
    let visible = check
        .visible
        .iter()
        .map(|v| ["visible".into(), v.hook.into(), name(&v.sight), v.detail.clone()]);
    let plain = |section: &'static str, text: &String| {
        [section.into(), String::new(), String::new(), text.clone()]
    };
    let stages = check.stages.iter().map(|one| {
        let what = one.stage.map_or_else(|| "every stage".into(), |stage| format!("stage {stage}"));
        let detail = format!("{what}: {}", one.detail);
        ["stages".into(), one.function.into(), name(&one.answer), detail]
    });
    let files = check.files.iter().map(|files| {
        ["files".into(), "landlock".into(), name(&files.landlock), files.detail.clone()]
    });
    let plan = check.plan.reasons.iter().map(|text| plain("plan", text));
    let missing = check.missing.iter().map(|text| plain("missing", text));
    features
        .chain(interfaces)
        .chain([cni])
        .chain(visible)
        .chain(stages)
        .chain(files)
        .chain(plan)
        .chain(missing)
        .collect()
}

fn csv(check: &Check) -> Result<String> {
    let mut writer = csv::Writer::from_writer(vec![]);
    writer.write_record(["section", "name", "answer", "detail"])?;
    for row in rows(check) {
        writer.write_record(row.map(|cell| escape::csv(&cell)))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn table(check: &Check) -> String {
    let rows: Vec<_> = rows(check).into_iter().map(|row| row.map(|cell| clean(&cell))).collect();
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max();
    let (names, answers) = (width(1).unwrap_or(0), width(2).unwrap_or(0));
    let mut text = format!("kernel {}\n", clean(&check.kernel));
    let mut section = "";
    for row in &rows {
        if row[0] != section {
            section = &row[0];
            text += &format!("\n{}\n", heading(section));
        }
        if row[1].is_empty() {
            text += &format!("  {}\n", row[3]);
        } else {
            text += &format!("  {:names$}  {:answers$}  {}\n", row[1], row[2], row[3]);
        }
    }
    text + match (check.ready, check.unknown.is_empty()) {
        (false, _) => "\nThis node cannot measure until that is done.\n",
        (true, true) => "\nThis node can measure.\n",
        (true, false) => {
            "\nNothing is known to stand against measuring; what is unknown above could not be found out.\n"
        }
    }
}

fn heading(section: &str) -> &'static str {
    match section {
        "feature" => "What the kernel allows",
        "interface" => "Interfaces",
        "cni" => "CNI and its mode",
        "visible" => "What hooks see of pods' traffic in that mode, when they come first",
        "stages" => "What CNI segments are made of, with --stages",
        "files" => "Files out of reach of what speaks with other machines",
        "plan" => "What would be used",
        _ => "What is missing",
    }
}
