//! xcloud.
