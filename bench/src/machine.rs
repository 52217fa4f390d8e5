//! The machine: cores, processor time, memory, open files.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Cores that this process may run on, lowest first.
pub fn cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("cannot read the cores that this process may use")?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Pins the calling thread, and everything that it starts, to one core.
pub fn pin_this_thread(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot pin a thread to core {core}"))
}

/// Makes timers of the calling thread exact; by default the kernel may be 50 µs late.
pub fn make_timers_exact() -> Result<()> {
    Ok(rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?)
}

/// Gives the calling thread real-time priority. Real players are on other machines and do not wait for programs that
/// share a core with them here.
///
/// # Errors
///
/// Fails without permission: see sched(7), "Privileges and resource limits".
pub fn come_first() -> Result<()> {
    use preempt_rt::sched::{Pid, Scheduler, SchedulerParams, set_scheduler};
    Ok(set_scheduler(Pid::current_thread(), Scheduler::SCHED_FIFO, SchedulerParams { priority: 1 })?)
}

/// Raises the limit of open files as far as allowed. Programs started by this process inherit it.
///
/// # Errors
///
/// A message for people if `wanted` exceeds the hard limit.
pub fn raise_open_files(wanted: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    match limit.maximum {
        Some(most) if most < wanted => {
            bail!("this needs {wanted} open files, but the hard limit is {most}; raise it with `ulimit -Hn {wanted}`")
        }
        _ => Ok(()),
    }
}

/// Time of a core since the machine started.
#[derive(Debug, Clone, Copy)]
pub struct CoreTime {
    busy: u64,
    all: u64,
}

impl CoreTime {
    /// Reads the times of a core.
    pub fn of(core: usize) -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let name = format!("cpu{core}");
        let line = text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(&name)).then_some(words)
        });
        let ticks: Vec<u64> =
            line.with_context(|| format!("no such core: {core}"))?.filter_map(|word| word.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; later fields are already included in user and nice.
        let all = ticks.iter().take(8).sum::<u64>();
        let idle = ticks.iter().skip(3).take(2).sum::<u64>();
        Ok(Self { busy: all - idle, all })
    }

    /// Share of the time since `earlier` in which the core was busy, from 0 to 1.
    pub fn busy_since(self, earlier: Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all).max(1);
        self.busy.saturating_sub(earlier.busy) as f64 / all as f64
    }
}

/// Processor time of a process, all threads together, in steps of a hundredth of a second.
pub fn process_time(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The program's name, in parentheses, may contain anything; the state is the first word after it.
    let words: Vec<&str> = stat.rsplit_once(')').context("/proc names no process")?.1.split_whitespace().collect();
    let ticks: u64 = words.iter().skip(11).take(2).map(|word| word.parse().unwrap_or(0)).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Processor time of the calling thread.
pub fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Resident memory of a process, in bytes, including shared memory.
pub fn resident_bytes(process: u32) -> Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages: u64 = statm.split_whitespace().nth(1).context("/proc says nothing about resident pages")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Asks a process to end.
pub fn terminate(process: u32) -> Result<()> {
    let process = Pid::from_raw(i32::try_from(process)?).context("0 is not a process id")?;
    Ok(rustix::process::kill_process(process, rustix::process::Signal::TERM)?)
}

/// Describes the machine for people.
pub fn describe() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let is_punctual = std::thread::spawn(|| come_first().is_ok()).join().unwrap_or_default();
    let load = if is_punctual { "open loops from a real-time thread" } else { "no real-time thread" };
    format!("{count} cores, {model}, Linux {}, {load}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_shows_in_every_clock() {
        let core = cores().expect("cores")[0];
        let spun = std::thread::spawn(move || {
            pin_this_thread(core).expect("pinned");
            assert_eq!(cores().expect("cores"), [core]);
            let (thread, process) = (thread_time(), process_time(std::process::id()).expect("a process"));
            let before = CoreTime::of(core).expect("a core");
            while thread_time() < thread + Duration::from_millis(200) {
                std::hint::spin_loop();
            }
            let process = process_time(std::process::id()).expect("a process") - process;
            assert!(process >= Duration::from_millis(150), "{process:?}");
            CoreTime::of(core).expect("a core").busy_since(before)
        });
        let busy = spun.join().expect("no panic");
        assert!(busy > 0.3 && busy <= 1.0, "{busy}");
        assert!(resident_bytes(std::process::id()).expect("a process") > 100_000);
    }
}
