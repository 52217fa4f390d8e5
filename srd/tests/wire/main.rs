//! The wire of this game: the bytes of every frame, what is read and what is refused, and what changes between states.

mod changes;
mod decoding;
mod fuzz;
mod golden;
mod quick;
mod samples;
