//! The few messages of the Container Runtime Interface, runtime.v1, that are needed, and of them the few fields.

use std::collections::HashMap;

use prost::Message;

/// A sandbox that is ready.
pub const READY: i32 = 0;
/// A network namespace that is the node's.
pub const NODE_NETWORK: i32 = 2;

/// Asks for all sandboxes.
#[derive(Clone, PartialEq, Message)]
pub struct ListPodSandboxRequest {}

/// All sandboxes.
#[derive(Clone, PartialEq, Message)]
pub struct ListPodSandboxResponse {
    /// The sandboxes.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<PodSandbox>,
}

/// A sandbox: one life of a pod's network.
#[derive(Clone, PartialEq, Message)]
pub struct PodSandbox {
    /// Its name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its pod.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<Metadata>,
    /// Whether it is [`READY`].
    #[prost(int32, tag = "3")]
    pub state: i32,
    /// When it was made, in nanoseconds.
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    /// The pod's labels.
    #[prost(map = "string, string", tag = "5")]
    pub labels: HashMap<String, String>,
}

/// A pod.
#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What Kubernetes calls this life of it.
    #[prost(string, tag = "2")]
    pub uid: String,
    /// Its namespace.
    #[prost(string, tag = "3")]
    pub namespace: String,
}

/// Asks for one sandbox.
#[derive(Clone, PartialEq, Message)]
pub struct PodSandboxStatusRequest {
    /// Which.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
}

/// One sandbox.
#[derive(Clone, PartialEq, Message)]
pub struct PodSandboxStatusResponse {
    /// It.
    #[prost(message, optional, tag = "1")]
    pub status: Option<PodSandboxStatus>,
}

/// What the list leaves out.
#[derive(Clone, PartialEq, Message)]
pub struct PodSandboxStatus {
    /// Its addresses.
    #[prost(message, optional, tag = "5")]
    pub network: Option<Network>,
    /// Whose network they are on.
    #[prost(message, optional, tag = "6")]
    pub linux: Option<LinuxStatus>,
}

/// Addresses of a sandbox.
#[derive(Clone, PartialEq, Message)]
pub struct Network {
    /// The first; empty without any.
    #[prost(string, tag = "1")]
    pub ip: String,
    /// The others.
    #[prost(message, repeated, tag = "2")]
    pub additional_ips: Vec<PodIp>,
}

/// An address.
#[derive(Clone, PartialEq, Message)]
pub struct PodIp {
    /// As text.
    #[prost(string, tag = "1")]
    pub ip: String,
}

/// What is Linux' own.
#[derive(Clone, PartialEq, Message)]
pub struct LinuxStatus {
    /// Its namespaces.
    #[prost(message, optional, tag = "1")]
    pub namespaces: Option<Namespaces>,
}

/// Namespaces of a sandbox.
#[derive(Clone, PartialEq, Message)]
pub struct Namespaces {
    /// Whose they are.
    #[prost(message, optional, tag = "2")]
    pub options: Option<Options>,
}

/// Whose namespaces a sandbox is in.
#[derive(Clone, PartialEq, Message)]
pub struct Options {
    /// [`NODE_NETWORK`], or its own.
    #[prost(int32, tag = "1")]
    pub network: i32,
}
