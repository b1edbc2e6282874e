//! Every call there is, by every role, at the real aggregator.

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::time::timeout;
use tonic::{
    Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel,
};
use tonic_prost::ProstCodec;
use xcloud_proto::DESCRIPTORS;

use crate::{
    authority::{NOW, Secret},
    harness::{AGENT, COLLECTOR, ENDPOINT, OPERATOR, caller, connect, secured},
};

/// How long is waited for a refusal; one comes at once.
const SOON: Duration = Duration::from_millis(300);

/// Makes a call with an empty message, as all calls here take one.
async fn call(channel: Channel, path: &str) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.expect("connected");
    let path = PathAndQuery::try_from(path).expect("a path");
    let codec = ProstCodec::<(), ()>::default();
    let call = grpc.streaming(Request::new(tokio_stream::once(())), path, codec);
    match timeout(SOON, async { call.await?.into_inner().message().await }).await {
        Ok(answer) => answer.map(drop),
        // A stream that was let in waits for more.
        Err(_) => Ok(()),
    }
}

fn calls() -> Vec<String> {
    let mut paths = Vec::new();
    for set in [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET] {
        for file in FileDescriptorSet::decode(set).expect("descriptors").file {
            for service in &file.service {
                let whole = format!("/{}.{}", file.package(), service.name());
                paths.extend(service.method.iter().map(|one| format!("{whole}/{}", one.name())));
            }
        }
    }
    paths
}

#[tokio::test]
async fn each_role_is_let_in_where_the_rules_say_and_nowhere_else() {
    let (authority, aggregator) = secured("--allow-load-tests --max-call-rate 1000");
    let mut table: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let who = [
        ("agent", AGENT),
        ("endpoint", ENDPOINT),
        ("collector", COLLECTOR),
        ("operator", OPERATOR),
        ("nobody", "spiffe://test/nobody"),
    ];
    for (role, name) in who {
        let mine = Secret::new(&authority.issue(&[name], NOW), authority.pem());
        let channel = connect(&caller(&mine.args()), aggregator.address).await.expect("believed");
        for path in calls() {
            let denied = match call(channel.clone(), &path).await {
                Err(status) => status.code() == Code::PermissionDenied,
                Ok(()) => false,
            };
            let let_in = table.entry(path).or_default();
            if !denied {
                let_in.push(role);
            }
        }
        let unknown = call(channel, "/xcloud.admin.v1.AdminService/Anything").await;
        let status = unknown.expect_err("there is no such call");
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    }
    for (path, let_in) in &table {
        use xcloud::access::{
            role::{Role, Roles},
            rules::rule,
        };
        let rule = rule(path).expect("a rule");
        let mut expected: Vec<_> = Role::ALL
            .into_iter()
            .filter(|role| rule.allows(Roles::of(&[*role])))
            .map(Role::name)
            .collect();
        if rule.allows(Roles::default()) {
            expected.push("nobody");
        }
        assert_eq!(let_in, &expected, "{path}");
    }
}
