//! The measured window: after the warm-up, for at least a given time, operations and the server's
//! CPU time are counted.

use std::fmt;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use crate::cpu;
use crate::latency::Latencies;

pub(crate) struct Window {
    server: u32,
    warm_at: Instant,
    before: u64,
    length: Duration,
    counted: u64,
    operations: u64,
    opened: Option<Moment>,
    closed: Option<Moment>,
    latencies: Latencies,
}

struct Moment {
    at: Instant,
    server_cpu: Duration,
    operations: u64,
}

struct Report<'a> {
    operations: u64,
    elapsed: Duration,
    server_cpu: Duration,
    latencies: &'a Latencies,
}

impl Window {
    /// Of the server with that process id. Each of the others is a time and a number of operations
    /// that it takes at least; the warm-up begins.
    pub(crate) fn new(server: u32, warmup: (Duration, u64), window: (Duration, u64)) -> Self {
        Self {
            server,
            warm_at: Instant::now() + warmup.0,
            before: warmup.1,
            length: window.0,
            counted: window.1,
            operations: 0,
            opened: None,
            closed: None,
            latencies: Latencies::default(),
        }
    }

    /// Notes what a finished exchange took, if it began in the window.
    pub(crate) fn took(&mut self, time: Duration) {
        let Some(opened) = &self.opened else { return };
        if self.closed.is_none() && time <= opened.at.elapsed() {
            self.latencies.add(time);
        }
    }

    /// Counts finished operations.
    pub(crate) fn count(&mut self, operations: u64) -> io::Result<()> {
        self.operations += operations;
        let now = Instant::now();
        match &self.opened {
            None if now >= self.warm_at && self.operations >= self.before => {
                self.opened = Some(self.moment(now)?);
            }
            Some(opened)
                if self.closed.is_none()
                    && now >= opened.at + self.length
                    && self.operations >= opened.operations + self.counted =>
            {
                self.closed = Some(self.moment(now)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether all is counted, and nothing more should be asked for.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Prints what was counted.
    pub(crate) fn tell(&self) -> io::Result<()> {
        writeln!(io::stdout(), "{}", self.report()?)
    }

    fn report(&self) -> io::Result<Report<'_>> {
        let (Some(opened), Some(closed)) = (&self.opened, &self.closed) else {
            return Err(io::Error::other("the window has not closed"));
        };
        Ok(Report {
            operations: closed.operations - opened.operations,
            elapsed: closed.at - opened.at,
            server_cpu: closed.server_cpu.saturating_sub(opened.server_cpu),
            latencies: &self.latencies,
        })
    }

    fn moment(&self, at: Instant) -> io::Result<Moment> {
        let server_cpu = cpu::of_process(self.server)?;
        Ok(Moment { at, server_cpu, operations: self.operations })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            r#"{{"operations": {}, "seconds": {}, "cpu_seconds": {}, "latencies": {}}}"#,
            self.operations,
            self.elapsed.as_secs_f64(),
            self.server_cpu.as_secs_f64(),
            self.latencies,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Window;

    #[test]
    fn what_comes_before_and_after_does_not_count() {
        let mut window = Window::new(std::process::id(), (Duration::ZERO, 6), (Duration::ZERO, 7));
        window.count(5).unwrap();
        assert!(window.report().is_err());
        window.count(100).unwrap();
        window.count(5).unwrap();
        assert!(!window.is_closed());
        window.count(2).unwrap();
        assert!(window.is_closed());
        window.count(1000).unwrap();
        assert_eq!(window.report().unwrap().operations, 7);
    }

    #[test]
    fn an_exchange_from_before_is_not_timed() {
        let mut window = Window::new(std::process::id(), (Duration::ZERO, 3), (Duration::ZERO, 1));
        window.took(Duration::ZERO);
        window.count(3).unwrap();
        window.took(Duration::from_secs(1));
        window.took(Duration::ZERO);
        assert_eq!(window.latencies.to_string(), "[[1, 1]]");
    }
}
