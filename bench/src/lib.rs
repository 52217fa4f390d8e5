//! Measures the server from outside: against the bare WebSocket echo, on the same cores, in the same run.
//!
//! Systems are programs of their own, kept on one core; the load is one thread on another. Only ratios within one run
//! mean something: the machine's own speed drifts.
//!
//! It asks the kernel for what only Linux tells (time of a core, memory of a process), so elsewhere there is nothing
//! here but the echoes.

pub mod echo;
pub mod errands;
pub mod frame;

#[cfg(target_os = "linux")]
pub mod cliff;
#[cfg(target_os = "linux")]
pub mod cold;
#[cfg(target_os = "linux")]
pub mod goals;
#[cfg(target_os = "linux")]
pub mod http;
#[cfg(target_os = "linux")]
pub mod load;
#[cfg(target_os = "linux")]
pub mod machine;
#[cfg(target_os = "linux")]
pub mod measure;
#[cfg(target_os = "linux")]
pub mod players;
#[cfg(target_os = "linux")]
pub mod report;
#[cfg(target_os = "linux")]
pub mod run;
#[cfg(target_os = "linux")]
pub mod system;
