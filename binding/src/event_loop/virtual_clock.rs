//! Clocks that are not the system's: a subclass's own, and the virtual one of `ferroloop.testing`.

use std::time::Duration;

use ferroloop_engine::clock;
use pyo3::prelude::*;

use super::EventLoop;

/// Time that stands still until the loop has nothing to do, and then jumps.
#[derive(Default)]
pub(super) struct VirtualClock {
    now: f64,
    /// For how long the loop really waits before a jump; `None` if it has another clock.
    threshold: Option<Duration>,
}

impl VirtualClock {
    pub(super) fn start(&mut self, threshold: Duration) {
        self.threshold = Some(threshold);
    }

    pub(super) fn now(&self) -> f64 {
        self.now
    }

    fn is_running(&self) -> bool {
        self.threshold.is_some()
    }

    fn jump(&mut self, deadline: f64) {
        self.now = self.now.max(deadline);
    }

    /// What to wait before a jump to `deadline`. Whoever waits until the end of time waits for an
    /// event.
    fn threshold_before(&self, deadline: f64) -> Option<Duration> {
        let ahead = deadline > self.now && deadline.is_finite();
        self.threshold.filter(|_| ahead)
    }
}

impl EventLoop {
    /// Steps 2 to 4 of an idle loop that does not go by the system's clock.
    pub(super) fn wait_by_custom_clock(this: &Bound<'_, Self>, deadline: f64) -> PyResult<()> {
        let (event_loop, py) = (this.get(), this.py());
        match event_loop.virtual_clock.with(py, |clock, _| clock.threshold_before(deadline)) {
            Some(threshold) => event_loop.pass_time(py, threshold),
            None => event_loop.poll(py, clock::poll_timeout(Some(deadline), Self::now(this)?)),
        }
    }

    /// Polls for `threshold`. If there is nothing to do after that, time jumps to the next deadline.
    fn pass_time(&self, py: Python<'_>, threshold: Duration) -> PyResult<()> {
        // Detached even for no time at all: other threads have a chance to call.
        let outcome = self.sleep(py, Some(threshold));
        if self.end_poll(py, outcome)? {
            // It has not looked for all there is, nor for as long.
            return Ok(());
        }
        let deadline = self.cell.with(py, |state, _| {
            if state.ready.is_empty() { state.timers.next_deadline() } else { None }
        });
        if let Some(deadline) = deadline {
            self.virtual_clock.with(py, |clock, _| clock.jump(deadline));
        }
        Ok(())
    }

    /// Timers before this time are due (S5.3). Virtual time is at the very deadline: there is no
    /// resolution to allow for.
    pub(super) fn due_end_by_custom_clock(this: &Bound<'_, Self>) -> PyResult<f64> {
        let now = Self::now(this)?;
        let exact = this.get().virtual_clock.with(this.py(), |clock, _| clock.is_running());
        Ok(if exact { now.next_up() } else { now + clock::due_margin(now) })
    }
}
