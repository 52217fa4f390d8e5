//! What the server does as a whole, on real databases and over real sockets.

mod harness;
mod play;
mod simulation;
mod storage;
mod tidy;
