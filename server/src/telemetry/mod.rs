//! What the server tells about itself.
mod characters;
pub use characters::*;
