//! Keeps the agent small.

/// Returns freed memory to the system: reading the kernel's types takes some 20 MiB that the agent never needs again,
/// and the allocator would keep them.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call has no preconditions; it may run beside other threads' allocations.
    unsafe {
        libc::malloc_trim(0);
    }
}
