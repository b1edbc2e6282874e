//! Load tests that the aggregator has made: the real binary as aggregator, as endpoints and as their users, over real gRPC.

mod ends;
mod harness;
mod hostile;
mod limits;
#[path = "../coexist/namespace.rs"]
mod namespace;
mod networks;
mod results;
mod runs;
mod users;
