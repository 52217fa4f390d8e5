//! Limits of WebSockets.

use std::time::Duration;

use bytesize::ByteSize;

use super::setting::settings;
use super::text::choices;

choices! {
    /// How the kernel schedules the threads that serve sockets.
    Scheduling {
        /// Like other threads, but before the threads that do background work.
        "shared" => Shared,
        /// In real time, if the system allows it.
        "realtime" => Realtime,
    }
}

settings! {
    /// Limits of WebSockets.
    Socket under "Sockets" {
        /// Threads that serve sockets. Default: one per core.
        "socket.workers" workers: Option<usize>, "1" to "1024";
        /// How the kernel schedules these threads. With few cores, realtime keeps answers from waiting behind database
        /// work; it needs CAP_SYS_NICE or an RTPRIO limit of 1. Do not use it when sockets alone saturate a core.
        "socket.scheduling" scheduling: Scheduling = "shared";
        /// Open sockets of all players together; further ones are refused as overloaded.
        "socket.connections_max" connections_max: usize = "100000", "1" to "10000000";
        /// How often the server pings; a socket that stays silent for twice this time is closed.
        "socket.ping_interval" ping_interval: Duration = "20s", "100ms" to "10m";
        /// Most bytes that are read from one socket and answered before it is the next socket's turn. All sockets of a
        /// thread share one buffer.
        "socket.read_buffer" read_buffer: ByteSize = "16KiB", "512B" to "1MiB";
        /// Characters that one socket may watch.
        "socket.watch_max" watch_max: usize = "256", "1" to "10000";
        /// Frames that one socket may send per second.
        "socket.rate_per_second" rate_per_second: u32 = "100000", "1" to "10000000";
        /// Frames that one socket may send in a burst on top of that.
        "socket.rate_burst" rate_burst: u32 = "100000", "1" to "10000000";
    }
}
