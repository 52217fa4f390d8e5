//! What the server does as a whole, on real databases and over real sockets.

mod accounts;
mod audit;
mod backups;
mod dead_letters;
mod document;
mod exchange;
mod exposure;
mod fairness;
mod frames;
mod guests;
mod harness;
mod keys;
mod leases;
mod open_files;
mod play;
mod readers;
mod recovery;
mod replies;
mod rights;
mod simulation;
mod spool;
mod starting;
mod storage;
mod tidy;
mod tls;
mod upgrades;
