//! The tasks behind `cargo xtask`, and their tools: a throwaway PostgreSQL, a Python with the foreign client's
//! packages, and running other programs with reliable cleanup.

pub mod bench;
pub mod check;
pub mod debian;
pub mod deny;
pub mod dist;
pub mod docs;
pub mod fuzz;
pub mod machine;
pub mod markdown;
pub mod observe;
pub mod packages;
pub mod pgbouncer;
pub mod postgres;
pub mod prometheus;
pub mod proxies;
pub mod python;
pub mod run;
pub mod test;
pub mod tool;
pub mod torture;
