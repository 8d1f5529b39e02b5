//! How long a loop has had nothing to do.

use std::time::{Duration, Instant};

/// The waits of a loop: how many, and how long they took, the one under way included.
#[derive(Debug, Default)]
pub struct Idle {
    waits: u64,
    time: Duration,
    /// When the wait under way began.
    since: Option<Instant>,
}

impl Idle {
    /// A wait begins.
    #[inline]
    pub fn begin(&mut self, now: Instant) {
        self.waits += 1;
        self.since = Some(now);
    }

    /// It is over.
    #[inline]
    pub fn end(&mut self, now: Instant) {
        self.time = self.time(now);
        self.since = None;
    }

    /// How many waits have begun.
    pub fn waits(&self) -> u64 {
        self.waits
    }

    /// For how long the loop has waited in all.
    #[inline]
    pub fn time(&self, now: Instant) -> Duration {
        self.time + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}
