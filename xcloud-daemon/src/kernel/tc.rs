//! One classifier on one interface: put first, looked at, put first again, taken off.
//!
//! By TCX where the kernel has it: the link goes with this process, and nobody else can remove it, but whoever attaches
//! "first" after us is before us. By clsact elsewhere: see [`clsact`]. Whoever is before us and ends the chain hides
//! packets from us, so being there is not enough. Nothing here touches another program.
//!
//! All calls act on the calling thread's network namespace.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use aya::programs::{
    LinkOrder, SchedClassifier, TcAttachType,
    tc::{SchedClassifierLink, TcAttachOptions},
};

use super::probe::TcHook;

mod changes;
mod clsact;
mod tcx;

pub use changes::follow;
pub use clsact::remove_leftovers;
pub use tcx::Programs;

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot<'a> {
    /// Interface index.
    pub ifindex: u32,
    /// Interface name.
    pub interface: &'a str,
    /// As the node sees the interface.
    pub direction: TcAttachType,
}

/// Where our program was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// It sees every packet.
    First,
    /// Another program runs before it and may hide packets.
    Behind(String),
    /// It is not there any more.
    Gone,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("first"),
            Self::Behind(other) => write!(f, "behind {other}"),
            Self::Gone => f.write_str("removed by another agent"),
        }
    }
}

/// A classifier on an interface; dropping it takes it off.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) program: &'static str,
    ifindex: u32,
    direction: TcAttachType,
    /// The kernel's number of the program.
    id: u32,
    link: Link,
}

#[derive(Debug)]
enum Link {
    /// Detached when it is dropped.
    Tcx(#[expect(dead_code, reason = "held for its drop")] SchedClassifierLink),
    Clsact,
    /// Nothing is left to take off.
    Gone,
}

impl Hook {
    /// Puts a program first. What was there of ours is replaced.
    ///
    /// # Errors
    /// The interface is gone, the kernel refuses, or another program is first all the same.
    pub(super) fn attach(
        program: &mut SchedClassifier,
        name: &'static str,
        spot: Spot<'_>,
        backend: TcHook,
    ) -> Result<Self> {
        let Spot { ifindex, direction, .. } = spot;
        let id = program.info()?.id();
        let link = match backend {
            TcHook::Tcx => Link::Tcx(attach_tcx(program, spot)?),
            TcHook::Clsact => {
                clsact::attach(program, name, spot)?;
                Link::Clsact
            }
            TcHook::None => bail!("this kernel offers neither TCX nor clsact"),
        };
        let hook = Self { program: name, ifindex, direction, id, link };
        match hook.place().context("checking that it is first")? {
            Place::First => Ok(hook),
            place => bail!("asked to be first, it is {place}"),
        }
    }

    /// Takes it off; returns what it was.
    pub(super) fn take_off(self) -> (&'static str, TcAttachType) {
        (self.program, self.direction)
    }

    /// Looks where it is.
    pub(super) fn place(&self) -> Result<Place> {
        let (ifindex, direction) = (self.ifindex, self.direction);
        Ok(match &self.link {
            Link::Tcx(_) => tcx::place(&tcx::query(ifindex, direction)?, self.id),
            Link::Gone => Place::Gone,
            Link::Clsact => {
                clsact::place(&clsact::filters(ifindex, direction)?, self.program, self.id)
            }
        })
    }
}

impl Hook {
    /// Lets go of it where its namespace is gone: a TCX link is closed, a filter went with its interface, and must not
    /// be looked for in another namespace.
    pub(super) fn abandon(mut self) {
        self.link = match std::mem::replace(&mut self.link, Link::Gone) {
            Link::Clsact | Link::Gone => Link::Gone,
            tcx @ Link::Tcx(_) => tcx,
        };
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        if matches!(self.link, Link::Clsact)
            && let Err(error) = clsact::remove(self.ifindex, self.direction, self.program)
        {
            // With the interface its filters went.
            tracing::debug!("removing {} from interface {}: {error}", self.program, self.ifindex);
        }
    }
}

/// Names of the programs on an interface, whoever put them there and by whatever way; what cannot be asked is left out.
#[must_use]
pub fn names(ifindex: u32, programs: &Programs) -> Vec<String> {
    let mut names = programs.on(ifindex);
    for direction in [TcAttachType::Ingress, TcAttachType::Egress] {
        let filters = clsact::filters(ifindex, direction).unwrap_or_default();
        names.extend(filters.into_iter().map(|filter| filter.name).filter(|name| !name.is_empty()));
    }
    names
}

fn attach_tcx(program: &mut SchedClassifier, spot: Spot<'_>) -> Result<SchedClassifierLink> {
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(spot.interface, spot.direction, options)?;
    Ok(program.take_link(id)?)
}
