//! Which role may make which call. What is not listed here nobody may, and a test fails for it.

use super::role::{Role, Roles};

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Whoever has a certificate that the authorities vouch for.
    Known,
    /// Whoever has one of these roles.
    With(Roles),
}

const AGENT: Rule = Rule::With(Roles::of(&[Role::Agent]));
const ATTEND: Rule = Rule::With(Roles::of(&[Role::Agent, Role::Endpoint]));
const ASK: Rule = Rule::With(Roles::of(&[Role::Collector, Role::Operator]));
/// Also what an endpoint needs to say where its requests' time went, and whom it may probe.
const LOOK: Rule = Rule::With(Roles::of(&[Role::Endpoint, Role::Collector, Role::Operator]));
const ORDER: Rule = Rule::With(Roles::of(&[Role::Operator]));

/// All calls that there are, by path.
const RULES: &[(&str, Rule)] = &[
    ("/xcloud.ingest.v1.IngestService/StreamBatches", AGENT),
    ("/xcloud.observer.v1.ObserverService/QuerySplit", ASK),
    ("/xcloud.observer.v1.ObserverService/WatchExchanges", LOOK),
    ("/xcloud.observer.v1.ObserverService/ListNodes", ASK),
    ("/xcloud.observer.v1.ObserverService/GetServerStatus", ASK),
    ("/xcloud.observer.v1.ObserverService/QueryEgress", ASK),
    ("/xcloud.loadtest.v1.LoadTestService/ListEndpoints", LOOK),
    ("/xcloud.loadtest.v1.LoadTestService/CreateLoadTest", ORDER),
    ("/xcloud.loadtest.v1.LoadTestService/WatchLoadTest", ASK),
    ("/xcloud.loadtest.v1.LoadTestService/CancelLoadTest", ORDER),
    ("/xcloud.loadtest.v1.LoadTestService/ListLoadTests", ASK),
    ("/xcloud.loadtest.v1.LoadTestService/ExportLoadTests", ASK),
    ("/xcloud.loadtest.v1.LoadTestService/CompareLoadTests", ASK),
    ("/xcloud.loadtest.v1.EndpointService/Attend", ATTEND),
    ("/grpc.health.v1.Health/Check", Rule::Known),
    ("/grpc.health.v1.Health/Watch", Rule::Known),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Rule::Known),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Rule::Known),
];

/// The rule for a path, if there is such a call.
#[must_use]
pub fn rule(path: &str) -> Option<Rule> {
    RULES.iter().find(|(known, _)| *known == path).map(|(_, rule)| *rule)
}

impl Rule {
    /// Whether a caller with these roles may.
    #[must_use]
    pub const fn allows(self, roles: Roles) -> bool {
        match self {
            Self::Known => true,
            Self::With(any) => roles.meets(any),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use xcloud_proto::DESCRIPTORS;

    use super::*;

    /// Paths of all calls that the descriptors tell of.
    fn calls() -> Vec<String> {
        let sets = [
            DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut paths = Vec::new();
        for set in sets {
            for file in FileDescriptorSet::decode(set).expect("descriptors").file {
                for service in &file.service {
                    let whole = format!("/{}.{}", file.package(), service.name());
                    paths
                        .extend(service.method.iter().map(|one| format!("{whole}/{}", one.name())));
                }
            }
        }
        paths
    }

    #[test]
    fn every_call_has_a_rule_and_every_rule_a_call() {
        let calls = calls();
        let without: Vec<_> = calls.iter().filter(|path| rule(path).is_none()).collect();
        assert!(without.is_empty(), "calls that nobody may make: {without:?}");
        let stale: Vec<_> =
            RULES.iter().filter(|(path, _)| !calls.iter().any(|call| call == path)).collect();
        assert!(stale.is_empty(), "rules for calls that are not there: {stale:?}");
    }

    #[test]
    fn each_role_may_do_this_and_nothing_else() {
        let mut table = BTreeSet::new();
        for path in calls() {
            let rule = rule(&path).expect("a rule");
            let who: Vec<_> = Role::ALL
                .into_iter()
                .filter(|role| rule.allows(Roles::of(&[*role])))
                .map(Role::name)
                .collect();
            let who = if rule.allows(Roles::default()) { "all".into() } else { who.join(" ") };
            let call = path.rsplit('.').next().expect("a name");
            table.insert(format!("{call}: {who}"));
        }
        let table: Vec<_> = table.into_iter().collect();
        insta::assert_snapshot!(table.join("\n"), @"
        EndpointService/Attend: agent endpoint
        Health/Check: all
        Health/Watch: all
        IngestService/StreamBatches: agent
        LoadTestService/CancelLoadTest: operator
        LoadTestService/CompareLoadTests: collector operator
        LoadTestService/CreateLoadTest: operator
        LoadTestService/ExportLoadTests: collector operator
        LoadTestService/ListEndpoints: endpoint collector operator
        LoadTestService/ListLoadTests: collector operator
        LoadTestService/WatchLoadTest: collector operator
        ObserverService/GetServerStatus: collector operator
        ObserverService/ListNodes: collector operator
        ObserverService/QueryEgress: collector operator
        ObserverService/QuerySplit: collector operator
        ObserverService/WatchExchanges: endpoint collector operator
        ServerReflection/ServerReflectionInfo: all
        ");
    }

    #[test]
    fn a_path_that_is_no_call_is_nobodys() {
        for path in ["", "/", "/xcloud.observer.v1.ObserverService/", "/a/b", "xcloud"] {
            assert_eq!(rule(path), None, "{path:?}");
        }
        assert_eq!(rule("/xcloud.observer.v1.ObserverService/querysplit"), None);
    }
}
