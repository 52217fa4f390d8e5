//! Limits of WebSockets.

use std::time::Duration;

use bytesize::ByteSize;

use super::setting::settings;
use super::text::choices;

choices! {
    /// How the kernel schedules the threads that serve sockets.
    Scheduling {
        /// Like other threads, but before the threads that do background work, and in short turns.
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
        /// How the kernel schedules these threads. Linux 6.12 and later run a shared one almost at once when it has
        /// something to answer. With few cores, realtime does that on every Linux; it needs CAP_SYS_NICE or an RTPRIO
        /// limit of 1. Do not use it when sockets alone saturate a core.
        "socket.scheduling" scheduling: Scheduling = "shared";
        /// Open sockets of all players together. When all are in use, a newcomer takes the place of a socket of the user
        /// who has most; if nobody has more than the newcomer would have, it is refused as overloaded.
        "socket.connections_max" connections_max: usize = "100000", "1" to "10000000";
        /// Open sockets of one user. The role game has no such limit.
        "socket.connections_per_user" connections_per_user: u32 = "16", "1" to "1000000";
        /// Open sockets from one address (IPv6: one /64). The role game has no such limit.
        "socket.connections_per_address" connections_per_address: u32 = "1000", "1" to "10000000";
        /// Sockets that one address may try to open per second.
        "socket.handshakes_per_second" handshakes_per_second: u32 = "50", "1" to "10000000";
        /// Sockets that one address may try to open in a burst on top of that.
        "socket.handshakes_burst" handshakes_burst: u32 = "1000", "1" to "10000000";
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
