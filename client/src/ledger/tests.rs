//! One table a rule: what is handed in, what comes out.
