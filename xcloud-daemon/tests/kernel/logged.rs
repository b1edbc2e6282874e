//! What the kernel programs say in the agent's log.

use std::sync::Mutex;

use aya_log::EbpfLogger;
use log::{LevelFilter, Log, Metadata, Record};
use xcloud_common::counter::Counter;

use crate::{
    craft::DATA,
    harness::{self, Kernel},
};

/// Keeps what is logged.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Log for &Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().expect("one thread").push(record.args().to_string());
    }

    fn flush(&self) {}
}

#[test]
fn a_packet_whose_headers_are_cut_short_is_counted_and_told() {
    log::set_max_level(LevelFilter::Debug);
    if !harness::available() {
        return;
    }
    let mut kernel = Kernel::load();
    let lines = Lines::default();
    let mut log = EbpfLogger::init_with_logger(&mut kernel.ebpf, &lines).expect("a log");
    kernel.run("pod_out", &DATA.frame()[..50]);
    assert_eq!(kernel.count(Counter::Malformed), 1);
    log.flush();
    let lines = lines.0.lock().expect("one thread");
    assert!(lines.len() == 1 && lines[0].contains("36 bytes"), "{lines:?}");
}
