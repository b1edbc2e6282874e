//! Pods' network namespaces: finding the one behind an interface, and working in it.
//!
//! The kernel tells which namespace the other end of a pod's interface is in by a number that only our own namespace
//! knows it by (`IFLA_LINK_NETNSID`). Container runtimes leave namespaces in `/run/netns`; where they do not, a process
//! in the pod leads to it. The file is not kept open: that would keep the namespace alive after the pod. So when that
//! process ends before the pod, another one has to be found.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use nix::{
    net::if_::{if_indextoname, if_nametoindex},
    sched::{CloneFlags, setns},
};
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        link::LinkAttribute,
        nsid::{NsidAttribute, NsidMessage},
    },
};

use super::ifaces::other_end;

/// A pod's end of its interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEnd {
    /// A file that leads to the pod's network namespace.
    pub path: PathBuf,
    /// Inode number of the namespace, which names it in the kernel.
    pub namespace: u32,
    /// The interface in there.
    pub interface: String,
}

impl PodEnd {
    /// Looks for another file that leads to the namespace where this one does no longer: the process it was found by
    /// has ended, and the pod goes on. `index` is the interface on the node.
    pub fn follow(&mut self, index: u32) {
        if is(&self.path, self.namespace) {
            return;
        }
        let Some(path) = candidates().find(|path| is(path, self.namespace)) else { return };
        // The kernel gives numbers of namespaces that are gone to new ones.
        let leads = within(&path, self.namespace, || {
            let here = if_nametoindex(self.interface.as_str())?;
            Ok(other_end(here)? == Some(index))
        });
        if leads.unwrap_or(false) {
            self.path = path;
        }
    }
}

/// Whether a file leads to a namespace.
fn is(path: &Path, namespace: u32) -> bool {
    fs::metadata(path).is_ok_and(|about| about.ino() == u64::from(namespace))
}

/// Finds the pod's end of the interface with this index on the node.
///
/// # Errors
/// The interface is gone or has no other end elsewhere, or no file leads to the namespace.
pub async fn find(index: u32) -> Result<PodEnd> {
    let (connection, mut handle, _) =
        rtnetlink::new_connection().context("opening a netlink route socket")?;
    let connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let (peer, number) = pods_end(&handle, index).await?;
    let mut tried = BTreeSet::new();
    for path in candidates() {
        let Ok(file) = File::open(&path) else { continue };
        let inode = file.metadata().map(|about| about.ino()).unwrap_or(0);
        if !tried.insert(inode) || number_of(&mut handle, &file).await? != Some(number) {
            continue;
        }
        drop(connection);
        let namespace = u32::try_from(inode).context("an odd inode number")?;
        let interface = within(&path, namespace, || {
            let name = if_indextoname(peer).context("asking for the interface's name")?;
            name.into_string().context("an interface with an odd name")
        })?;
        return Ok(PodEnd { path, namespace, interface });
    }
    bail!(
        "none of the {} network namespaces in /run/netns and of processes in /proc is the pod's: let the agent see \
         the host's (hostPID, or /run/netns mounted)",
        tried.len()
    )
}

/// Index of the other end, and what its namespace is called here.
async fn pods_end(handle: &Handle, index: u32) -> Result<(u32, i32)> {
    let mut links = handle.link().get().match_index(index).execute();
    let link = links
        .try_next()
        .await
        .with_context(|| format!("asking for interface {index}"))?
        .with_context(|| format!("interface {index} is gone"))?;
    let (mut peer, mut number) = (None, None);
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::Link(index) => peer = Some(index),
            LinkAttribute::LinkNetNsId(id) => number = Some(id),
            _ => {}
        }
    }
    peer.zip(number).with_context(|| format!("interface {index} has no other end elsewhere"))
}

/// Files that lead to network namespaces, those of runtimes first.
fn candidates() -> impl Iterator<Item = PathBuf> {
    let entries = |directory| fs::read_dir(directory).into_iter().flatten().flatten();
    let named = entries("/run/netns").chain(entries("/var/run/netns")).map(|entry| entry.path());
    let is_process = |entry: &fs::DirEntry| {
        entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit())
    };
    let processes = entries("/proc").filter(is_process).map(|entry| entry.path().join("ns/net"));
    named.chain(processes)
}

/// What a namespace is called here; `None` when it has no such number.
async fn number_of(handle: &mut Handle, namespace: &File) -> Result<Option<i32>> {
    let mut question = NsidMessage::default();
    question.attributes.push(NsidAttribute::Fd(u32::try_from(namespace.as_raw_fd())?));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetNsId(question));
    message.header.flags = NLM_F_REQUEST;
    let mut answers = handle.request(message).context("asking for a namespace's number")?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(told)) = answer.payload {
            return Ok(told.attributes.iter().find_map(|attribute| match attribute {
                NsidAttribute::Id(id) if *id >= 0 => Some(*id),
                _ => None,
            }));
        }
    }
    // A file that is no namespace, such as one whose pod has just gone.
    Ok(None)
}

/// Works in a network namespace, on a thread of its own, so that this thread's never changes.
///
/// # Errors
/// The file leads to it no more, this process may not enter it, or the work failed.
pub fn within<T: Send>(
    path: &Path,
    namespace: u32,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    ensure!(
        file.metadata()?.ino() == u64::from(namespace),
        "{} leads to another network namespace than before",
        path.display()
    );
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(file.as_fd(), CloneFlags::CLONE_NEWNET).with_context(|| {
                format!("entering network namespace {} (needs CAP_SYS_ADMIN)", path.display())
            })?;
            drop(file);
            work()
        });
        thread.join().map_err(|_| anyhow!("a thread panicked in {}", path.display()))?
    })
}
