//! A clock for tests: it does not run, it jumps.

use std::time::Duration;

/// Time that stands still until a loop has nothing to do, and then jumps to its next deadline.
#[derive(Debug)]
pub struct VirtualClock {
    now: f64,
    threshold: Duration,
}

impl VirtualClock {
    /// A clock at 0 seconds. Before each jump the loop is to wait for events for `threshold`, in
    /// real time.
    pub const fn new(threshold: Duration) -> Self {
        Self { now: 0.0, threshold }
    }

    /// Seconds since the beginning.
    pub fn now(&self) -> f64 {
        self.now
    }

    /// How long to wait before a jump to `deadline`; `None` if there is none to be made: it has
    /// been reached, or it is the end of time, and whoever waits until then waits for an event.
    pub fn threshold_before(&self, deadline: f64) -> Option<Duration> {
        (deadline > self.now && deadline.is_finite()).then_some(self.threshold)
    }

    /// Jumps to `deadline`, and never back.
    pub fn jump(&mut self, deadline: f64) {
        self.now = self.now.max(deadline);
    }
}
