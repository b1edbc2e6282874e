//! `xcloud aggregator`: takes what agents send, joins it and answers queries.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::net::UnixStream as StdUnixStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use caps::Capability;
use nix::sys::stat::{Mode, umask};
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{
        confine::{Reach, confine},
        door::Listener,
        entrance::Entrance,
        health,
        privileges::keep_only,
    },
    cli::{Address, AggregatorArgs, access::TlsArgs, names::KeepArg},
    config::reload::Live,
    cost::volume::Volume,
    loadtest::{director::Director, leave},
    measure::{join, state, store, workload::Keep},
    memory, metrics,
    sites::tables::Tables,
    usage::usage,
    wire::server::{Hub, routes, serve_at},
};

/// Most agents known at once.
const MAX_AGENTS: usize = 10_000;
/// How often waiting observations and old data are looked after.
const TICK: Duration = Duration::from_secs(1);
/// How often is told that data is given up for want of memory.
const TOLD_EVERY: Duration = Duration::from_mins(10);
/// How long open calls may take to end once the aggregator is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Checks arguments for what no flag can be checked for alone.
///
/// # Errors
/// They make no sense together.
pub fn check(args: &AggregatorArgs) -> Result<()> {
    limits(args)?;
    leave::limits(&args.load_tests).map(drop)
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// An argument is wrong or an address cannot be listened on.
pub fn run(live: Live<AggregatorArgs>, tls: &TlsArgs) -> Result<()> {
    let args = live.args();
    let limits = limits(&args)?;
    // Files that only more rights could read would be lost when they change.
    keep_only(&[Capability::CAP_NET_BIND_SERVICE])?;
    if let Some(results) = &args.load_tests.load_results {
        // Whoever keeps results there says what is wrong with it.
        let _ = fs::create_dir_all(results);
    }
    confine(&Reach::of_aggregator(&args, tls, live.file()))?;
    let entrance = Arc::new(Entrance::of(&args.access, tls, &args.listen)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(aggregate(live, tls, limits, &entrance))
}

async fn aggregate(
    live: Live<AggregatorArgs>,
    tls: &TlsArgs,
    limits: state::Limits,
    entrance: &Arc<Entrance>,
) -> Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let hub = Hub::new(limits, CancellationToken::new());
    let args = live.args();
    let tables = Tables::begin(&args.names, &hub)?;
    let mut sockets = Sockets::default();
    let director = leave::director(&args.load_tests, hub.stop.clone())?;
    let mut servers = start(&args, tls, &hub, &director, entrance, &mut sockets).await?;
    let changes = live.subscribe();
    let ended = tokio::select! {
        () = tick(&hub, tables) => Ok(()),
        () = adapt(changes, &hub, &director) => Ok(()),
        Err(error) = live.follow() => Err(error),
        () = entrance.mind() => Ok(()),
        () = told_to_stop(&mut terminate, &mut interrupt) => Ok(()),
        Some(ended) = servers.join_next() => ended.context("a server").flatten(),
    };
    hub.stop.cancel();
    tracing::info!("aggregator: stopping; {}", closing(&hub));
    tokio::select! {
        late = timeout(GRACE, async { while servers.join_next().await.is_some() {} }) => {
            if late.is_err() {
                tracing::warn!("aggregator: some calls did not end within {GRACE:?}");
            }
        }
        () = told_to_stop(&mut terminate, &mut interrupt) => {}
    }
    ended
}

type Servers = JoinSet<Result<()>>;

/// Listens on all addresses, or on none, and gives up the rights that it took.
async fn start(
    args: &AggregatorArgs,
    tls: &TlsArgs,
    hub: &Arc<Hub>,
    director: &Arc<Director>,
    entrance: &Arc<Entrance>,
    sockets: &mut Sockets,
) -> Result<Servers> {
    let routes = routes(hub, director).await?;
    let mut bound = Vec::new();
    for address in &args.listen {
        bound.push(listen(address, sockets).await?);
    }
    let healthy = health::listen(args.access.health.health_listen).await?;
    let mut servers = JoinSet::new();
    servers.spawn(health::serve(healthy, hub.stop.clone(), || true));
    metrics::start::aggregator(&args.metrics, tls, args.retention, hub, &mut servers).await?;
    // It listens everywhere now, and says so only once it has no rights any more.
    keep_only(&[])?;
    let names: Vec<_> = bound.iter().map(|(_, name)| &name[..]).collect();
    tracing::info!(
        "aggregator {}: {}",
        env!("CARGO_PKG_VERSION"),
        describe(args, &names.join(", "))
    );
    for (listener, _) in bound {
        servers.spawn(serve_at(Arc::clone(hub), routes.clone(), listener, Arc::clone(entrance)));
    }
    Ok(servers)
}

async fn told_to_stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn tick(hub: &Hub, mut tables: Tables) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        ticks.tick().await;
        hub.tick();
        tables.look(hub);
        short_of_memory(hub, &mut told);
    }
}

/// Says that there is no memory for all that was to be kept, if there was news of it since `told`, and not too often.
fn short_of_memory(hub: &Hub, told: &mut Option<(Instant, u64)>) {
    let now = hub.read(|state| state.store().given_up() + state.store().refused().memory);
    let (at, before) = told.map_or((None, 0), |(at, before)| (Some(at), before));
    if now == before || at.is_some_and(|at| at.elapsed() < TOLD_EVERY) {
        return;
    }
    *told = Some((Instant::now(), now));
    tracing::warn!(
        "aggregator: --max-memory is in use: the oldest data is given up before --retention, and what still finds no room \
         is lost"
    );
}

/// Heeds changes of the configuration, which were checked before.
async fn adapt(mut changes: watch::Receiver<Arc<AggregatorArgs>>, hub: &Hub, director: &Director) {
    while changes.changed().await.is_ok() {
        let args = Arc::clone(&changes.borrow_and_update());
        if let Ok(limits) = limits(&args) {
            hub.set_limits(limits);
        }
        if let Ok(Some(limits)) = leave::limits(&args.load_tests) {
            director.set_limits(limits);
        }
    }
}

fn limits(args: &AggregatorArgs) -> Result<state::Limits> {
    let nanoseconds = |flag: &str, duration: Duration, least: Duration| {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if duration < least || duration > Duration::from_hours(24 * 365) {
            return Err(usage(format!(
                "{flag} is {}, not from {} to a year",
                humantime::format_duration(duration),
                humantime::format_duration(least)
            )));
        }
        Ok(ns)
    };
    let positive = |flag: &str, number: usize| {
        if number == 0 {
            Err(usage(format!("{flag} is 0, so nothing would be kept")))
        } else {
            Ok(number)
        }
    };
    Ok(state::Limits {
        join: join::Limits {
            window_ns: nanoseconds("--join-window", args.join_window, Duration::from_millis(1))?,
            capacity: positive("--join-capacity", args.join_capacity)?,
        },
        store: store::Limits {
            interval_ns: nanoseconds("--interval", args.interval, Duration::from_millis(100))?,
            retention_ns: nanoseconds("--retention", args.retention, args.interval)?,
            max_paths: positive("--max-paths", args.max_paths)?,
            max_bytes: positive("--max-memory", max_bytes(args))?,
            keep: match args.names.names {
                KeepArg::Off => Keep::Nothing,
                KeepArg::Namespace => Keep::Namespace,
                KeepArg::Workload => Keep::Workload,
                KeepArg::Pod => Keep::Pod,
            },
        },
        max_agents: MAX_AGENTS,
    })
}

/// Memory for what was measured. The allocator takes a third more than is counted; the rest of what is allowed is for
/// waiting observations, answers and connections.
fn max_bytes(args: &AggregatorArgs) -> usize {
    let bytes = args.max_memory.map_or_else(|| memory::allowed() / 3, |given| given.0);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Unix sockets made, which go when the aggregator ends.
#[derive(Debug, Default)]
struct Sockets(Vec<PathBuf>);

impl Drop for Sockets {
    fn drop(&mut self) {
        for path in &self.0 {
            // Gone already is as good.
            let _ = fs::remove_file(path);
        }
    }
}

/// Listens, and says on what: the port is only known now if it was given as 0.
async fn listen(address: &Address, sockets: &mut Sockets) -> Result<(Listener, String)> {
    let listening = || format!("listening on {address}");
    match address {
        Address::Tcp(tcp) => listen_tcp(*tcp, "").await.with_context(listening),
        Address::Host(host) => {
            let ip = host.name.parse().with_context(listening)?;
            listen_tcp(SocketAddr::new(ip, host.port), host.scheme()).await.with_context(listening)
        }
        Address::Unix(path) => {
            remove_stale(path).with_context(listening)?;
            // Nobody else may connect, not even for the moment before a change of mode.
            let mask = umask(Mode::from_bits_truncate(0o177));
            let listener = UnixListener::bind(path);
            umask(mask);
            let listener = listener.with_context(listening)?;
            sockets.0.push(path.clone());
            Ok((Listener::Unix(listener), address.to_string()))
        }
    }
}

async fn listen_tcp(address: SocketAddr, scheme: &str) -> io::Result<(Listener, String)> {
    let listener = TcpListener::bind(address).await?;
    let name = format!("{scheme}{}", listener.local_addr()?);
    Ok((Listener::Tcp(listener), name))
}

/// A socket that an aggregator left behind when it was killed is in the way; one that answers is not ours to take,
/// nor is any other file.
fn remove_stale(path: &Path) -> Result<()> {
    use std::{io::ErrorKind, os::unix::fs::FileTypeExt as _};
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        bail!("{} exists and is no socket", path.display());
    }
    match StdUnixStream::connect(path) {
        Ok(_) => bail!("another process listens there"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).context("removing the socket left behind")
        }
        Err(error) => Err(error).context("asking whether another process listens there"),
    }
}

fn describe(args: &AggregatorArgs, bound: &str) -> String {
    let time = humantime::format_duration;
    format!(
        "listening on {bound}; join window {}, at most {} waiting; intervals of {} kept for {}, at most {} paths, {} of \
         memory for them and {MAX_AGENTS} agents",
        time(args.join_window),
        args.join_capacity,
        time(args.interval),
        time(args.retention),
        args.max_paths,
        Volume(max_bytes(args) as u64)
    )
}

fn closing(hub: &Hub) -> String {
    hub.read(|state| {
        let account = state.account();
        format!(
            "{} observations emitted: {} delivered, {} lost, {} under way, {} delivered elsewhere; {} refused",
            account.emitted,
            account.delivered,
            account.lost(),
            account.pending,
            account.earlier,
            state.refused()
        )
    })
}
