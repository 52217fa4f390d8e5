//! The bench: `cargo xtask bench` builds it, gives it a PostgreSQL, and runs it.

fn main() {}
