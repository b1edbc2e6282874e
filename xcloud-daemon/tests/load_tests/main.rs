//! Load tests that the aggregator has made: the real binary as aggregator, as endpoints and as their users, over real gRPC.

mod ends;
mod harness;
mod hostile;
#[path = "../kernel/harness.rs"]
mod kernel;
mod limits;
#[path = "../coexist/namespace.rs"]
mod namespace;
mod networks;
#[expect(dead_code, reason = "another test uses the rest")]
#[path = "../coexist/node.rs"]
mod node;
mod reload;
mod results;
mod runs;
mod users;
