//! `xcloud load stamp`, `matrix` and `convergence` on loopback: against reflectors that lose, double, swap, delay and
//! have a false clock, and with an implementation that others wrote.

mod convergence;
mod faults;
mod harness;
mod interop;
mod matrix;
