//! Who makes a call, as the services behind the gate see it: for what a role alone does not decide.

use std::sync::Arc;

use tonic::{Code, Request, Status};
use xcloud_proto::common::v1::Site;

use super::{
    entrance::Entrance,
    peer::{Origin, Peer},
    role::Role,
};

/// Who makes a call.
#[derive(Clone, Debug)]
pub struct Speaker {
    peer: Peer,
    entrance: Arc<Entrance>,
}

impl Speaker {
    /// The peer of a connection that came in at an entrance.
    #[must_use]
    pub const fn new(peer: Peer, entrance: Arc<Entrance>) -> Self {
        Self { peer, entrance }
    }

    /// Who makes this call.
    ///
    /// # Errors
    /// It did not pass the gate.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let known = request.extensions().get::<Self>().cloned();
        known.ok_or_else(|| Status::internal("nobody knows whose call this is"))
    }

    /// Whether it may call itself `name` and be at a site, in any of these roles.
    ///
    /// # Errors
    /// Its certificate is bound to another node.
    pub fn may_be(&self, roles: &[Role], site: &Site, name: &str) -> Result<(), Status> {
        let Origin::Tls(_, shown) = self.peer.origin() else { return Ok(()) };
        let mut why = String::new();
        for role in roles {
            match shown.granted.may_be(*role, site, name) {
                Ok(()) => return Ok(()),
                Err(bound) if shown.roles.has(*role) => why = bound,
                Err(_) => {}
            }
        }
        Err(Status::permission_denied(format!("{}: {why}", shown.name)))
    }

    /// What tells it from others that may say the same of themselves; none where everybody is let in.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        match self.peer.origin() {
            Origin::Unix => Some("the Unix socket".into()),
            Origin::Plain(_) => None,
            Origin::Tls(_, shown) => Some(shown.name.clone()),
        }
    }

    /// Tells of a refusal, as the gate does, if it is one of who calls and not of what it says; returns whether it is.
    pub fn tell(&self, status: &Status) -> bool {
        let who = status.code() == Code::PermissionDenied;
        if who {
            self.entrance.refuse(&self.peer.name(), status.message());
        }
        who
    }
}
