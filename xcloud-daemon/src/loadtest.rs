//! Load tests that the aggregator has made between endpoints, as `xcloud.loadtest.v1` has it.
//!
//! What both sides know: [`spec`] is what is measured, [`traffic`] what it moves, [`attendee`] who takes part.
//! The aggregator: [`service`] and [`attend`] speak gRPC, [`director`] decides by [`limits`] and [`registry`], [`conduct`]
//! leads a test, [`keep`] keeps what it found, [`results`] reads, merges and compares that.
//! The endpoint: [`endpoint`] waits for orders, [`part`] plays one by a process whose arguments [`orders`] makes.
//! Users: [`ask`].

pub mod ask;
pub mod attend;
pub mod attendee;
pub mod cast;
pub mod child;
pub mod conduct;
pub mod director;
pub mod endpoint;
pub mod id;
pub mod keep;
pub mod leave;
pub mod limits;
pub mod lines;
pub mod merge;
pub mod orders;
pub mod part;
pub mod refusal;
pub mod registry;
pub mod results;
pub mod rules;
pub mod service;
pub mod spec;
pub mod traffic;
