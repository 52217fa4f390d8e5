//! Tells systemd how this process is doing, if it was started by a unit of `Type=notify`.

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::{MissedTickBehavior, interval};

/// The process serves. From now on it says again and again that it is alive, if the unit has a `WatchdogSec=`: as long as
/// the runtime behind the sockets runs its tasks.
pub(super) fn ready() {
    tell(NotifyState::Ready);
    let Some(time) = watchdog_enabled() else { return };
    tokio::spawn(async move {
        // Twice in that time, as sd_watchdog_enabled(3) advises.
        let mut ticks = interval(time / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            tell(NotifyState::Watchdog);
        }
    });
}

/// The process was told to stop.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState) {
    if let Err(error) = notify(&[state]) {
        tracing::warn!(%error, "cannot tell systemd how this process is doing");
    }
}
