//! Roles, and the names in certificates that have them.

use std::{fmt, str::FromStr};

/// What a caller may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends observations, and waits for parts in load tests.
    Agent,
    /// Waits for parts in load tests, and looks where their time went.
    Endpoint,
    /// Asks.
    Collector,
    /// Asks, and has load tests made.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Agent, Self::Endpoint, Self::Collector, Self::Operator];

    /// As it is typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Endpoint => "endpoint",
            Self::Collector => "collector",
            Self::Operator => "operator",
        }
    }
}

/// Some roles; by default none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// These.
    #[must_use]
    pub const fn of(roles: &[Role]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < roles.len() {
            bits |= 1 << roles[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// What is granted to any of a certificate's URIs and DNS names.
    #[must_use]
    pub fn granted(grants: &[Grant], uris: &[&str], hosts: &[&str]) -> Self {
        let has = |grant: &&Grant| match grant.kind {
            Kind::Uri => uris.iter().any(|uri| grant.fits(uri)),
            Kind::Dns => hosts.iter().any(|host| grant.fits(&host.to_ascii_lowercase())),
        };
        let roles: Vec<_> = grants.iter().filter(has).map(|grant| grant.role).collect();
        Self::of(&roles)
    }

    /// Whether it is one of these.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & 1 << role as u8 != 0
    }

    /// Whether any role is in both.
    #[must_use]
    pub const fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            Role::ALL.into_iter().filter(|role| self.has(*role)).map(Role::name).collect();
        f.write_str(&if names.is_empty() { "none".into() } else { names.join(" or ") })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Uri,
    Dns,
}

/// A role for certificates of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    role: Role,
    kind: Kind,
    name: String,
    /// Whatever follows the name fits as well.
    any_ending: bool,
}

impl Grant {
    fn fits(&self, name: &str) -> bool {
        match self.any_ending {
            true => name.starts_with(&self.name),
            false => name == self.name,
        }
    }
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!(
                "{text:?}: {why}; a role is given as agent=spiffe://example.org/ns/xcloud/sa/agent or \
                 collector=dns:grafana.example"
            ))
        };
        let Some((role, name)) = text.split_once('=') else { return wrong("there is no =") };
        let Some(role) = Role::ALL.into_iter().find(|one| one.name() == role) else {
            return wrong("the role is none of agent, endpoint, collector and operator");
        };
        let (name, any_ending) = match name.strip_suffix('*') {
            Some(name) => (name, true),
            None => (name, false),
        };
        if name.contains('*') {
            return wrong("* stands at the end only");
        }
        let (kind, name) = match name.strip_prefix("dns:") {
            Some(host) => (Kind::Dns, host.to_ascii_lowercase()),
            None if name.contains("://") => (Kind::Uri, name.to_owned()),
            None => return wrong("the name is neither a URI nor dns:NAME"),
        };
        if name.is_empty() && !any_ending {
            return wrong("the name is empty");
        }
        Ok(Self { role, kind, name, any_ending })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn granted(grants: &[&str], uris: &[&str], hosts: &[&str]) -> Roles {
        let grants: Vec<Grant> = grants.iter().map(|text| text.parse().expect(text)).collect();
        Roles::granted(&grants, uris, hosts)
    }

    #[test]
    fn a_name_has_the_roles_granted_to_it_and_no_other() {
        let grants = [
            "agent=spiffe://corp/ns/xcloud/sa/agent",
            "operator=spiffe://corp/ns/ops/*",
            "collector=dns:Grafana.example",
            "collector=dns:scraper-*",
        ];
        let uri = |uri: &str| granted(&grants, &[uri], &[]).to_string();
        assert_eq!(uri("spiffe://corp/ns/xcloud/sa/agent"), "agent");
        assert_eq!(uri("spiffe://corp/ns/xcloud/sa/agent2"), "none");
        assert_eq!(uri("spiffe://corp/ns/ops/sa/ann"), "operator");
        assert_eq!(uri("spiffe://corp/ns/op"), "none");
        let dns = |host: &str| granted(&grants, &[], &[host]).to_string();
        assert_eq!(dns("GRAFANA.example"), "collector");
        assert_eq!(dns("scraper-1.example"), "collector");
        assert_eq!(dns("grafana.example.evil"), "none");
        // A DNS name that reads like a URI is none, and the other way round.
        assert_eq!(dns("spiffe://corp/ns/xcloud/sa/agent"), "none");
        assert_eq!(uri("grafana.example"), "none");
    }

    #[test]
    fn a_certificate_with_two_names_has_the_roles_of_both() {
        let roles = granted(&["agent=a://1", "operator=dns:b"], &["a://1"], &["b"]);
        assert_eq!(roles, Roles::of(&[Role::Agent, Role::Operator]));
        assert!(roles.meets(Roles::of(&[Role::Operator, Role::Collector])));
        assert!(!roles.meets(Roles::of(&[Role::Collector])));
    }

    #[test]
    fn without_grants_nobody_has_a_role() {
        assert_eq!(granted(&[], &["a://1"], &["b"]), Roles::default());
    }

    #[test]
    fn a_grant_that_could_mean_something_else_is_refused() {
        for text in [
            "",
            "agent",
            "agent=",
            "root=dns:a",
            "agent=a.b",
            "agent=dns:",
            "agent=dns:*.a",
            "agent=*",
            "agent=spiffe://*/x",
            "Agent=dns:a",
            "agent=dns:a**",
        ] {
            assert!(text.parse::<Grant>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_prefix_grants_whatever_begins_with_it(head in "[a-z/]{0,9}", tail in "\\PC{0,9}", other in "\\PC{0,9}") {
            let grant = format!("agent=s://{head}*");
            let name = format!("s://{head}{tail}");
            prop_assert!(granted(&[&grant], &[&name], &[]).has(Role::Agent));
            let fits = other.starts_with(&format!("s://{head}"));
            prop_assert_eq!(granted(&[&grant], &[&other], &[]).has(Role::Agent), fits);
        }
    }
}
