//! The pure part: join, split and store. No I/O, no async, no clock read; time comes in as an argument.
