//! Load tests at a constant rate, against servers that freeze, lie, hang up and die, on loopback. Times are asserted on
//! only where they were injected, with bounds wide enough for a busy machine.

mod crowd;
mod files;
mod freeze;
mod grpc;
mod harness;
mod honest;
mod hostile;
mod http2;
mod nginx;
