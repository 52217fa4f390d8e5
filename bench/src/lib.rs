//! Measures the server from outside: against the bare WebSocket echo, on the same cores, in the same run.
//!
//! Systems are programs of their own, kept on one core; the load is one thread on another. Only ratios within one run
//! mean something: the machine's own speed drifts.

pub mod echo;
pub mod frame;
#[cfg(target_os = "linux")]
pub mod load;
#[cfg(target_os = "linux")]
pub mod machine;
