//! What a WebSocket may take.

use std::time::Duration;

use super::setting::settings;
use super::text::{ByteSize, choices};

choices! {
    /// When a thread that serves sockets gets its core.
    Scheduling {
        /// As other threads do, before those behind the sockets.
        "shared" => Shared,
        /// At once, in real time, where the system allows it.
        "realtime" => Realtime,
    }
}

settings! {
    /// What a WebSocket may take.
    Socket under "Sockets" {
        /// Threads that serve sockets. Without it one a core.
        "socket.workers" workers: Option<usize>, "1" to "1024";
        /// When such a thread gets its core. `realtime` needs CAP_SYS_NICE or a limit RTPRIO of 1: on a machine with few
        /// cores answers then do not wait behind the database's work. Not for cores that sockets alone fill.
        "socket.scheduling" scheduling: Scheduling = "shared";
        /// Open sockets of all players together; more are refused as overloaded.
        "socket.connections_max" connections_max: usize = "100000", "1" to "10000000";
        /// How often the server pings; a socket silent for twice that is closed.
        "socket.ping_interval" ping_interval: Duration = "20s", "100ms" to "10m";
        /// Bytes read of a socket at a time, and answered before another one's turn. Shared by all sockets of a thread.
        "socket.read_buffer" read_buffer: ByteSize = "16KiB", "512B" to "1MiB";
        /// Characters that one socket may watch.
        "socket.watch_max" watch_max: usize = "256", "1" to "10000";
        /// Frames that one socket may send, a second.
        "socket.rate_per_second" rate_per_second: u32 = "100000", "1" to "10000000";
        /// Frames that it may send at once on top of that.
        "socket.rate_burst" rate_burst: u32 = "100000", "1" to "10000000";
    }
}
