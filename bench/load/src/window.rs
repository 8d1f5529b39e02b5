//! The measured window: after the warm-up, for at least a given time, operations and the server's CPU time are counted.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::cpu;
use crate::latency::Latencies;
use crate::options::Options;

/// Exchanges of each connection, on average, before the window opens and again before it closes. The first finds buffers
/// that have never been used, here and there: with a thousand connections that alone fills the warm-up.
const EXCHANGES: u64 = 3;

pub(crate) struct Window {
    server: u32,
    warm_at: Instant,
    length: Duration,
    least: u64,
    open: Option<Opening>,
    operations: u64,
    latencies: Latencies,
}

struct Opening {
    at: Instant,
    server_cpu: Duration,
    operations: u64,
}

pub(crate) struct Report {
    latencies: Latencies,
    operations: u64,
    elapsed: Duration,
    server_cpu: Duration,
}

impl Window {
    /// Options: `--server-pid`, `--warmup`, `--seconds` and, if there are several, `--connections`.
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        Ok(Self {
            server: options.number("--server-pid")?,
            warm_at: Instant::now() + options.seconds("--warmup")?,
            length: options.seconds("--seconds")?,
            least: EXCHANGES * options.number_or("--connections", 1)?,
            open: None,
            operations: 0,
            latencies: Latencies::default(),
        })
    }

    /// Notes what a finished exchange took.
    pub(crate) fn took(&mut self, time: Duration) {
        if self.open.is_some() {
            self.latencies.add(time);
        }
    }

    /// Counts finished operations; answers with the report once the window is over.
    pub(crate) fn count(&mut self, operations: u64) -> io::Result<Option<Report>> {
        self.operations += operations;
        let now = Instant::now();
        match &self.open {
            None if now >= self.warm_at && self.operations >= self.least => {
                self.open = Some(self.opening(now)?);
            }
            Some(opening)
                if now >= opening.at + self.length
                    && self.operations >= opening.operations + self.least =>
            {
                let latencies = std::mem::take(&mut self.latencies);
                return self.report(opening, latencies).map(Some);
            }
            _ => {}
        }
        Ok(None)
    }

    fn opening(&self, at: Instant) -> io::Result<Opening> {
        let server_cpu = cpu::of_process(self.server)?;
        Ok(Opening { at, server_cpu, operations: self.operations })
    }

    fn report(&self, opening: &Opening, latencies: Latencies) -> io::Result<Report> {
        Ok(Report {
            latencies,
            operations: self.operations - opening.operations,
            elapsed: opening.at.elapsed(),
            server_cpu: cpu::of_process(self.server)?.saturating_sub(opening.server_cpu),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999] =
            [500, 990, 999].map(|of_thousand| self.latencies.quantile(of_thousand).as_secs_f64());
        write!(
            to,
            r#"{{"operations": {}, "seconds": {}, "server_cpu_seconds": {}, "latencies": [{p50}, {p99}, {p999}]}}"#,
            self.operations,
            self.elapsed.as_secs_f64(),
            self.server_cpu.as_secs_f64(),
        )
    }
}
