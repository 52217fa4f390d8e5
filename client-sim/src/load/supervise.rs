//! Starts the load, samples it every second, and ends it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::watch;

use super::cast::Tallies;
use super::generator::Usage;
use super::live::{View, waiting_bar};
use super::pace::{self, Pace, Schedule};
use super::player::Common;
use super::scrape::Scraper;
use super::series::{self, Beside, Moment, Series};
use super::settings::LoadSettings;
use super::tally::Tally;

/// Time limit for all players to connect.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How often to check for the end.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Time between two samples of the counts.
const TICK: Duration = Duration::from_secs(1);

/// The results of a run.
pub(super) struct Course {
    /// Time from the start until no more intents were due.
    pub(super) seconds: f64,
    /// Processor time in that period of this process and of its busiest thread, in cores.
    pub(super) cores: Option<(f64, f64)>,
    /// Counts by group.
    pub(super) tallies: Vec<Tally>,
    pub(super) moments: Vec<Moment>,
}

impl Course {
    /// Adds the counts since the last sample, after all players have left.
    pub(super) fn finish(mut self, tallies: &Tallies) -> Self {
        for (sum, last) in self.tallies.iter_mut().zip(&take(tallies)) {
            sum.add(last);
        }
        self
    }
}

/// Takes the counts since the last call, by group.
fn take(tallies: &Tallies) -> Vec<Tally> {
    let mut groups: Vec<Tally> = Vec::new();
    for thread in tallies {
        for (group, tally) in thread.iter().enumerate() {
            let mut taken = Tally::default();
            std::mem::swap(&mut taken, &mut *tally.lock());
            match groups.get_mut(group) {
                Some(sum) => sum.add(&taken),
                None => groups.push(taken),
            }
        }
    }
    groups
}

/// Runs the load once all players are ready, until all have left or the time is up.
pub(super) fn supervise(
    common: &Arc<Common>,
    paces: &[(Schedule, Arc<Pace>)],
    tallies: &Tallies,
    start: &watch::Sender<Option<Instant>>,
    settings: &LoadSettings,
    groups: usize,
) -> Result<Course> {
    let players = u64::from(settings.players);
    wait_until_ready(common, players)?;
    let metrics = settings.metrics.clone();
    let metrics = metrics.unwrap_or_else(|| format!("{}/metrics", settings.server.trim_end_matches('/')));
    let begin = Instant::now() + Duration::from_millis(50);
    let mut ticker = Ticker::new(common, tallies, Scraper::start(metrics)?, begin, settings, groups);
    start.send_replace(Some(begin));
    let pacer = {
        let (paces, common) = (paces.to_vec(), Arc::clone(common));
        let end = begin + settings.duration;
        std::thread::Builder::new()
            .name("pacer".to_owned())
            .spawn(move || pace::run(begin, &paces, &common.asked, end))?
    };
    while !pacer.is_finished() {
        std::thread::park_timeout(LOOK_INTERVAL);
        ticker.look(false);
    }
    // Makes the load's last stretch end with the load.
    ticker.look(true);
    let seconds = begin.elapsed().as_secs_f64().max(settings.duration.as_secs_f64());
    let cores = Usage::now().cores_since(&ticker.usage_at_begin, begin.elapsed());
    let deadline = Instant::now() + settings.settle;
    while common.departed.load(Ordering::Relaxed) < players && Instant::now() < deadline {
        std::thread::park_timeout(LOOK_INTERVAL);
        ticker.look(false);
    }
    ticker.look(true);
    for (_, pace) in paces {
        pace.abandon();
    }
    let (tallies, moments) = ticker.finish();
    Ok(Course { seconds, cores, tallies, moments })
}

fn wait_until_ready(common: &Common, players: u64) -> Result<()> {
    let connecting = waiting_bar(players, "connecting");
    let deadline = Instant::now() + READY_TIMEOUT;
    while common.ready.load(Ordering::Relaxed) < players {
        if Instant::now() > deadline {
            bail!(
                "only {} of {players} players were ready in time; see the server's log",
                common.ready.load(Ordering::Relaxed)
            );
        }
        connecting.set_position(common.ready.load(Ordering::Relaxed));
        std::thread::park_timeout(LOOK_INTERVAL);
    }
    connecting.finish_and_clear();
    Ok(())
}

/// Samples the counts every second for the view and the series.
struct Ticker<'a> {
    common: &'a Common,
    tallies: &'a Tallies,
    scraper: Scraper,
    begin: Instant,
    last: Instant,
    next: Instant,
    asked: u64,
    usage_at_begin: Usage,
    usage: Usage,
    sums: Vec<Tally>,
    series: Series,
    view: View,
}

impl<'a> Ticker<'a> {
    /// Counts from before the load are not part of the series.
    fn new(
        common: &'a Common,
        tallies: &'a Tallies,
        scraper: Scraper,
        begin: Instant,
        settings: &LoadSettings,
        groups: usize,
    ) -> Self {
        let mut sums: Vec<Tally> = (0..groups).map(|_| Tally::default()).collect();
        for (sum, part) in sums.iter_mut().zip(&take(tallies)) {
            sum.add(part);
        }
        let usage = Usage::now();
        Self {
            common,
            tallies,
            scraper,
            begin,
            last: begin,
            next: begin + TICK,
            asked: 0,
            usage_at_begin: usage.clone(),
            usage,
            sums,
            series: Series::new(settings.duration),
            view: View::new(settings.duration),
        }
    }

    /// Samples the counts once a second has passed, or earlier at an end.
    fn look(&mut self, at_end: bool) {
        let now = Instant::now();
        let length = now.saturating_duration_since(self.last);
        if now < self.next && !(at_end && length > 2 * LOOK_INTERVAL) {
            return;
        }
        while self.next <= now {
            self.next += TICK;
        }
        let parts = take(self.tallies);
        let mut all = Tally::default();
        for (sum, part) in self.sums.iter_mut().zip(&parts) {
            sum.add(part);
            all.add(part);
        }
        let asked = self.common.asked.load(Ordering::Relaxed);
        let usage = Usage::now();
        let beside = Beside {
            at: now.saturating_duration_since(self.begin),
            length,
            due: asked - self.asked,
            sockets: self.common.open.load(Ordering::Relaxed),
            generator_cores: usage.cores_since(&self.usage, length).map(|(all, _)| all),
            server: self.scraper.moment(),
        };
        self.view.show(&series::moment(&all, beside.clone()));
        self.series.tick(&all, beside);
        (self.last, self.asked, self.usage) = (now, asked, usage);
    }

    fn finish(self) -> (Vec<Tally>, Vec<Moment>) {
        self.scraper.stop();
        self.view.close();
        (self.sums, self.series.finish())
    }
}
