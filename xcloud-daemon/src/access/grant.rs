//! Roles given to names in certificates, and what of them a certificate has. Pure.

use std::str::FromStr;

use xcloud_proto::common::v1::Site;

use super::role::{Role, Roles};
use crate::agent::identity::{MAX_NODE, agent_id};

/// Stands for the name of a node.
const NODE: &str = "{node}";

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
    /// What the name begins with.
    head: String,
    rest: Rest,
}

/// What follows the beginning of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    Anything,
    /// A node's name, and then this.
    Node(String),
}

impl Grant {
    /// In lower case, as names of hosts are compared.
    fn of_host(role: Role, head: &str, rest: Rest) -> Self {
        let rest = match rest {
            Rest::Node(end) => Rest::Node(end.to_ascii_lowercase()),
            rest => rest,
        };
        Self { role, kind: Kind::Dns, head: head.to_ascii_lowercase(), rest }
    }

    /// Whether it is for this name, and the node in it if it is bound to one.
    fn fits<'a>(&self, name: &'a str) -> Option<Option<&'a str>> {
        let rest = name.strip_prefix(&self.head)?;
        match &self.rest {
            Rest::Nothing => rest.is_empty().then_some(None),
            Rest::Anything => Some(None),
            Rest::Node(end) => rest.strip_suffix(end).filter(|node| is_node(node)).map(Some),
        }
    }

    fn held(&self, name: &str) -> Option<Held> {
        let name = match self.kind {
            Kind::Uri => name.into(),
            Kind::Dns => name.to_ascii_lowercase(),
        };
        let node = self.fits(&name)?.map(Into::into);
        Some(Held { role: self.role, kind: self.kind, node })
    }
}

/// As a label of a site may be, but one segment of a URI's path.
fn is_node(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (1..=MAX_NODE).contains(&name.len()) && name.chars().all(fits)
}

/// What a certificate has been granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted(Vec<Held>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    role: Role,
    kind: Kind,
    /// The one node it is for, if it is bound to one.
    node: Option<String>,
}

impl Held {
    fn is_for(&self, of: &str) -> bool {
        match (&self.node, self.kind) {
            (None, _) => true,
            (Some(node), Kind::Uri) => node == of,
            (Some(node), Kind::Dns) => node.eq_ignore_ascii_case(of),
        }
    }
}

impl Granted {
    /// What is granted to any of a certificate's URIs and DNS names.
    #[must_use]
    pub fn to(grants: &[Grant], uris: &[&str], hosts: &[&str]) -> Self {
        let held = grants.iter().flat_map(|grant| {
            let names = match grant.kind {
                Kind::Uri => uris,
                Kind::Dns => hosts,
            };
            names.iter().filter_map(|name| grant.held(name))
        });
        Self(held.collect())
    }

    /// Its roles.
    #[must_use]
    pub fn roles(&self) -> Roles {
        Roles::of(&self.0.iter().map(|held| held.role).collect::<Vec<_>>())
    }

    /// Whether who has this may call itself `name` and be at a site in a role. Who is bound to a node is at that node, and
    /// as an agent is called as agents of that site are.
    ///
    /// # Errors
    /// Says to what it is bound.
    pub fn may_be(&self, role: Role, site: &Site, name: &str) -> Result<(), String> {
        let named = role != Role::Agent || agent_id(site).is_ok_and(|id| id == name);
        let mut in_role = self.0.iter().filter(|held| held.role == role);
        if in_role.clone().any(|held| held.node.is_none() || held.is_for(&site.node) && named) {
            return Ok(());
        }
        let bound = in_role.next().and_then(|held| held.node.as_ref());
        let bound = bound.map_or_else(|| "no node".into(), |node| format!("node {node:?}"));
        Err(format!(
            "it is bound to {bound} and says that it is {} {name:?} of node {:?}",
            role.name(),
            site.node
        ))
    }
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!(
                "{text:?}: {why}; a role is given as agent=spiffe://example.org/ns/xcloud/sa/agent, \
                 agent=spiffe://example.org/node/{NODE} or collector=dns:grafana.example"
            ))
        };
        let Some((role, name)) = text.split_once('=') else { return wrong("there is no =") };
        let Some(role) = Role::ALL.into_iter().find(|one| one.name() == role) else {
            return wrong("the role is none of agent, endpoint, collector and operator");
        };
        let (kind, name) = match name.strip_prefix("dns:") {
            Some(host) => (Kind::Dns, host),
            None => (Kind::Uri, name),
        };
        let (head, rest) = match pattern(name) {
            Ok(parts) => parts,
            Err(why) => return wrong(why),
        };
        if kind == Kind::Uri && !head.contains("://") {
            return wrong("the name is neither a URI nor dns:NAME");
        }
        if matches!(rest, Rest::Node(_)) && !matches!(role, Role::Agent | Role::Endpoint) {
            return wrong("{node} is for agent and endpoint");
        }
        Ok(match kind {
            Kind::Uri => Self { role, kind, head: head.into(), rest },
            Kind::Dns => Self::of_host(role, head, rest),
        })
    }
}

/// What of a name stands there, and what may follow.
fn pattern(name: &str) -> Result<(&str, Rest), &'static str> {
    let (head, end) = name.split_once(NODE).unwrap_or((name, ""));
    let (head, rest) = match (head.len() == name.len(), name.strip_suffix('*')) {
        (false, _) => (head, Rest::Node(end.into())),
        (true, Some(head)) => (head, Rest::Anything),
        (true, None) => (head, Rest::Nothing),
    };
    let fixed = [head, end];
    if fixed.iter().any(|part| part.contains('*')) {
        return Err("* stands at the end only, and not beside {node}");
    }
    if fixed.iter().any(|part| part.contains(['{', '}'])) {
        return Err("{node} is the only placeholder, and stands once");
    }
    if head.is_empty() && rest == Rest::Nothing {
        return Err("the name is empty");
    }
    Ok((head, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(grants: &[&str]) -> Vec<Grant> {
        grants.iter().map(|text| text.parse().expect(text)).collect()
    }

    fn granted(grants: &[&str], uris: &[&str], hosts: &[&str]) -> Roles {
        Granted::to(&all(grants), uris, hosts).roles()
    }

    fn site(node: &str) -> Site {
        Site { cloud: "aws".into(), node: node.into(), ..Site::default() }
    }

    /// What an agent with a certificate of these names hears when it says it is `aws::NODE`.
    fn heard(grant: &str, uris: &[&str], hosts: &[&str], node: &str) -> Result<(), String> {
        let granted = Granted::to(&all(&[grant]), uris, hosts);
        granted.may_be(Role::Agent, &site(node), &format!("aws::{node}"))
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
            "agent=spiffe://x/{node}/{node}",
            "agent=spiffe://x/{node}*",
            "agent=spiffe://x/{node}/*",
            "agent=dns:{NODE}.x",
            "agent=dns:{cluster}.x",
            "agent=dns:a}.x",
            "agent={node}://x",
            "agent={node}",
            "operator=dns:{node}.x",
            "collector=spiffe://x/{node}",
        ] {
            assert!(text.parse::<Grant>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_certificate_with_a_nodes_name_speaks_for_that_node_only() {
        let uri = "agent=spiffe://corp/node/{node}";
        assert_eq!(heard(uri, &["spiffe://corp/node/n1"], &[], "n1"), Ok(()));
        assert_eq!(
            heard(uri, &["spiffe://corp/node/n1"], &[], "n2"),
            Err("it is bound to node \"n1\" and says that it is agent \"aws::n2\" of node \"n2\""
                .into())
        );
        let both = ["spiffe://corp/node/n1", "spiffe://corp/node/n2"];
        assert_eq!(heard(uri, &both, &[], "n2"), Ok(()));
        let dns = "agent=dns:{node}.Agents.example";
        assert_eq!(
            heard(
                dns,
                &[],
                &["ip-10-0-0-1.ec2.internal.agents.EXAMPLE"],
                "ip-10-0-0-1.ec2.internal"
            ),
            Ok(())
        );
        assert_eq!(heard(dns, &[], &["n1.agents.example"], "N1"), Ok(()), "as names of hosts are");
        assert!(heard(uri, &["spiffe://corp/node/n1"], &[], "N1").is_err());
    }

    #[test]
    fn an_agents_name_is_of_its_place_as_well() {
        let granted = Granted::to(&all(&["agent=dns:{node}"]), &[], &["n1"]);
        assert!(granted.may_be(Role::Agent, &site("n1"), "aws::n2").is_err());
        assert!(granted.may_be(Role::Endpoint, &site("n1"), "aws::n1").is_err(), "another role");
        let endpoint = Granted::to(&all(&["endpoint=dns:{node}"]), &[], &["n1"]);
        assert_eq!(endpoint.may_be(Role::Endpoint, &site("n1"), "whatever"), Ok(()));
        assert!(endpoint.may_be(Role::Endpoint, &site("n2"), "whatever").is_err());
    }

    #[test]
    fn without_a_placeholder_any_node_goes() {
        assert_eq!(heard("agent=spiffe://corp/*", &["spiffe://corp/node/n1"], &[], "n2"), Ok(()));
        let two = ["agent=dns:{node}", "agent=dns:n1"];
        let granted = Granted::to(&all(&two), &[], &["n1"]);
        assert_eq!(granted.may_be(Role::Agent, &site("n2"), "aws::n2"), Ok(()));
    }

    #[test]
    fn what_is_no_nodes_name_has_no_role() {
        let long = "n".repeat(MAX_NODE + 1);
        for node in ["", "a/b", "/", "*", "a*", "{node}", "a b", "a%2fb", "\u{e9}", "a\0", &long] {
            let uri = format!("spiffe://corp/node/{node}/agent");
            let roles = granted(&["agent=spiffe://corp/node/{node}/agent"], &[&uri], &[]);
            assert_eq!(roles, Roles::default(), "{node:?}");
            let host = format!("{node}.agents.example");
            let roles = granted(&["agent=dns:{node}.agents.example"], &[], &[&host]);
            assert_eq!(roles, Roles::default(), "{node:?}");
        }
        // The two sides of the placeholder do not overlap.
        let roles = granted(&["agent=s://aa{node}aa"], &["s://aaa", "s://aaaa"], &[]);
        assert_eq!(roles, Roles::default());
    }

    proptest! {
        #[test]
        fn a_bound_certificate_speaks_for_no_second_node(name in "[a-z./:*]{0,12}", node in "\\PC{0,12}", other in "\\PC{0,12}") {
            let uri = format!("s://{name}/x");
            let hears = |node: &str| heard("agent=s://{node}/x", &[&uri], &[], node).is_ok();
            prop_assert!(!hears(&node) || node == name);
            prop_assert!(!(hears(&node) && hears(&other)) || node == other);
        }

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
