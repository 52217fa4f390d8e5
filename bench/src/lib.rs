//! Measures the server from outside: against a bare WebSocket echo, on the same cores, in the same run.
//!
//! Systems are separate programs, pinned to one core; the load is one thread on another core. Only ratios within one
//! run are meaningful, because the machine's speed drifts.
//!
//! It needs figures that only Linux reports (time of a core, memory of a process), so other systems have only the
//! echoes.

pub mod echo;
pub mod errands;
pub mod frame;

#[cfg(target_os = "linux")]
pub mod attacks;
#[cfg(target_os = "linux")]
pub mod caller;
#[cfg(target_os = "linux")]
pub mod cliff;
#[cfg(target_os = "linux")]
pub mod cluster;
#[cfg(target_os = "linux")]
pub mod cold;
#[cfg(target_os = "linux")]
pub mod failures;
#[cfg(target_os = "linux")]
pub mod goal;
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
pub mod number;
#[cfg(target_os = "linux")]
pub mod players;
#[cfg(target_os = "linux")]
pub mod report;
#[cfg(target_os = "linux")]
pub mod run;
#[cfg(target_os = "linux")]
pub mod series;
#[cfg(target_os = "linux")]
pub mod settings;
#[cfg(target_os = "linux")]
pub mod stream;
#[cfg(target_os = "linux")]
pub mod system;
#[cfg(target_os = "linux")]
pub mod tls;
pub mod trade;
