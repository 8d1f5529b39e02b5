//! CPU time of another process, exact to the nanosecond where `/proc/PID/stat` counts ticks of 10
//! ms.

use std::fs;
use std::io;
use std::time::Duration;

/// Time on a CPU of all living threads of `pid`, in user and kernel mode.
pub(crate) fn of_process(pid: u32) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ended after it was listed has no file any more, and its time is not to be
        // had.
        if let Ok(schedstat) = fs::read_to_string(task?.path().join("schedstat")) {
            total += on_cpu(&schedstat)?;
        }
    }
    Ok(total)
}

fn on_cpu(schedstat: &str) -> io::Result<Duration> {
    let first = schedstat.split(' ').next();
    let nanoseconds = first.and_then(|field| field.parse().ok());
    let unknown = || io::Error::other(format!("unknown schedstat: {schedstat}"));
    Ok(Duration::from_nanos(nanoseconds.ok_or_else(unknown)?))
}

#[cfg(test)]
mod tests {
    use super::of_process;
    use std::time::{Duration, Instant};

    /// Many ticks of whatever clock the kernel counts by.
    const WORK: Duration = Duration::from_millis(100);

    #[test]
    fn work_shows() {
        let before = of_process(std::process::id()).unwrap();
        let started = Instant::now();
        while started.elapsed() < WORK {
            std::hint::black_box(());
        }
        let after = of_process(std::process::id()).unwrap();
        assert!(before + WORK / 10 < after && after < before + WORK * 10, "{before:?} {after:?}");
    }
}
