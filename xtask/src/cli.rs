//! What people type after `cargo xtask`, and what it calls.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    bench, bpf, chart,
    cluster::{self, ClusterTask, inside::Inside},
    codegen, command, image, kernels,
    lab::{
        self,
        args::{LabArgs, Output},
        manage,
    },
    load, setup,
    suite::{self, SuiteArgs, aa::AaArgs},
    test::{self, TestArgs},
    wire,
};

/// Project tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building and testing needs and this machine lacks
    Setup {
        /// Also what checking the dependencies needs (cargo-deny)
        #[arg(long)]
        deny: bool,
    },
    /// Build the kernel programs and the xcloud binary with them in it
    Build,
    /// Two clouds in network namespaces, agents, aggregator, real traffic, the split
    Run(Box<RunArgs>),
    /// Everything that can be tested on this machine
    Test(TestArgs),
    /// What measuring costs
    Bench {
        /// Which benchmark
        #[arg(value_enum)]
        which: Bench,
        /// The iperf3 that `throughput` runs beside xcloud; from 3.16 on it has a thread a stream
        #[arg(long, default_value = "iperf3", value_name = "PATH")]
        iperf3: PathBuf,
        #[command(flatten)]
        aa: AaArgs,
    },
    /// Distribution kernels under QEMU, and what works in them
    Kernels(kernels::KernelsArgs),
    /// A lab that stays up, for stock tools
    Lab {
        #[command(subcommand)]
        task: LabTask,
    },
    /// A real Kubernetes control plane and two nodes in different clouds
    Cluster {
        #[command(subcommand)]
        task: ClusterTask,
    },
    /// Generate the Rust side of the wire from proto/
    Codegen {
        /// Only say whether what is committed is what would be generated
        #[arg(long)]
        check: bool,
    },
    /// Render the Helm chart: write what is made from it, or print a manifest
    Chart(chart::ChartArgs),
    /// Build the static binary and pack it as an OCI image
    Image(image::ImageArgs),
    /// Parts of the lab, started by the lab
    #[command(hide = true)]
    Internal {
        #[command(subcommand)]
        task: Internal,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Bench {
    /// Nanoseconds per packet and hook over an empty program
    Kernel,
    /// Requests per second of `xcloud load http` beside wrk, and its precision at a constant rate
    Requests,
    /// `xcloud load throughput` beside iperf3
    Throughput,
    /// How often a difference is claimed between two runs of the same mode of the lab
    Aa,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    #[command(flatten)]
    lab: LabArgs,
    /// Measure this machine's own interfaces instead of a lab, until Ctrl-C or for the duration
    #[arg(long, conflicts_with_all = ["clouds", "wan_rtt", "inject", "load", "ipv6", "wire_mtu", "suite"])]
    host: bool,
    /// Format: table or json for the split, with --suite html, markdown, json or csv for the report [default: table, html]
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<String>,
    #[command(flatten)]
    suite: SuiteArgs,
}

impl RunArgs {
    fn run(&self) -> Result<()> {
        if self.suite.suite.is_some() {
            return suite::run(&self.lab, &self.suite, self.format("html")?);
        }
        let output: Output = self.format("table")?;
        if self.host { lab::host::run(&self.lab, output) } else { lab::run::run(&self.lab, output) }
    }

    fn format<T: ValueEnum>(&self, default: &str) -> Result<T> {
        let wanted = self.output.as_deref().unwrap_or(default);
        let known = || {
            let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
        };
        T::from_str(wanted, false)
            .map_err(|_| anyhow!("-o {wanted}: here it is one of {}", known()))
    }
}

#[derive(Debug, Subcommand)]
enum LabTask {
    /// Bring a lab up and leave it standing; traffic only with --load
    Up(Box<LabArgs>),
    /// Run a command inside a node or pod
    Exec {
        /// Name of the lab
        #[arg(long, default_value = "lab")]
        name: String,
        /// A node, such as aws-node, a pod, such as aws-pod1, or mgmt
        place: String,
        /// What to run
        #[arg(last = true, required = true)]
        words: Vec<String>,
    },
    /// Show pods, addresses, interfaces, processes and the wire's own figures
    Status {
        /// Name of the lab
        #[arg(long, default_value = "lab")]
        name: String,
        /// Format
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Take the lab down
    Down {
        /// Name of the lab
        #[arg(long, default_value = "lab")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum Internal {
    /// The wire between the nodes
    Wire {
        /// What it consists of
        config: PathBuf,
    },
    /// Serve requests
    LoadServer(load::ServerArgs),
    /// Send requests
    LoadClient(load::ClientArgs),
    /// Show what a guest's kernel can do
    Guest(kernels::GuestArgs),
    /// Processes of a cluster
    Cluster {
        #[command(subcommand)]
        task: Inside,
    },
}

/// Does what was asked for.
pub(crate) fn run(cli: Cli) -> Result<()> {
    match cli.task {
        Task::Setup { deny } => setup::run().and_then(|()| {
            setup::install_stamp_suite()?;
            if deny {
                setup::install_cargo_deny()?;
            }
            Ok(())
        }),
        Task::Build => bpf::build_all().map(|path| eprintln!("{}", path.display())),
        Task::Run(args) => args.run(),
        Task::Test(args) => test::run(&args),
        Task::Bench { which, iperf3, aa } => {
            let bench = match which {
                Bench::Kernel => "kernel",
                Bench::Requests => {
                    setup::for_load()?;
                    "requests"
                }
                Bench::Throughput => return bench::throughput(&iperf3),
                Bench::Aa => return suite::aa::run(&aa),
            };
            command::show(bpf::cargo()?.args(["bench", "-p", "xcloud-daemon", "--bench", bench]))
        }
        Task::Kernels(args) => kernels::run(&args),
        Task::Lab { task } => run_lab(task),
        Task::Cluster { task } => cluster::run(&task),
        Task::Codegen { check } => codegen::run(check),
        Task::Chart(args) => chart::run(&args),
        Task::Image(args) => image::run(&args),
        Task::Internal { task } => run_internal(task),
    }
}

fn run_lab(task: LabTask) -> Result<()> {
    match task {
        LabTask::Up(args) => manage::up(&args),
        LabTask::Exec { name, place, words } => manage::exec(&name, &place, &words),
        LabTask::Status { name, output } => manage::status(&name, output),
        LabTask::Down { name } => manage::down(&name),
    }
}

fn run_internal(task: Internal) -> Result<()> {
    match task {
        Internal::Wire { config } => wire::run(&config),
        Internal::LoadServer(args) => load::serve(&args),
        Internal::LoadClient(args) => load::ask(&args),
        Internal::Guest(args) => kernels::show(&args),
        Internal::Cluster { task } => cluster::inside::run(&task),
    }
}
