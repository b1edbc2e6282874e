//! The privileged part: nothing outside touches bpf(2), netlink or /proc.
