//! Clocks that are not the system's: a subclass's own, and the virtual one of `ferroloop.testing`.

use std::time::Duration;

use ferroloop_engine::{VirtualClock, clock};
use pyo3::prelude::*;

use super::EventLoop;
use super::run::shorter;

impl EventLoop {
    /// Steps 2 to 4 of an idle loop that does not go by the system's clock.
    pub(super) fn wait_by_custom_clock(
        this: &Bound<'_, Self>,
        deadline: f64,
        limit: Option<Duration>,
    ) -> PyResult<()> {
        let (event_loop, py) = (this.get(), this.py());
        let jumps = event_loop.threshold_before(py, deadline).is_some();
        let timeout = shorter(Self::time_before(this, deadline)?, limit);
        if jumps { event_loop.pass_time(py, timeout) } else { event_loop.poll(py, timeout) }
    }

    /// How long a loop waits for events before `deadline`, by whichever clock.
    pub(super) fn time_before(this: &Bound<'_, Self>, deadline: f64) -> PyResult<Option<Duration>> {
        match this.get().threshold_before(this.py(), deadline) {
            Some(threshold) => Ok(Some(threshold)),
            None => Ok(clock::poll_timeout(Some(deadline), Self::now(this)?)),
        }
    }

    /// For how long a virtual clock stands still before it jumps to `deadline`.
    fn threshold_before(&self, py: Python<'_>, deadline: f64) -> Option<Duration> {
        self.virtual_clock
            .with(py, |clock, _| clock.as_ref().and_then(|it| it.threshold_before(deadline)))
    }

    /// Polls for `timeout`. If there is nothing to do after that, time jumps to the next deadline.
    fn pass_time(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<()> {
        // Detached even for no time at all: other threads have a chance to call.
        let outcome = self.sleep(py, timeout);
        if self.end_poll(py, outcome)? {
            // It has not looked for all there is, nor for as long.
            return Ok(());
        }
        let deadline = self.cell.with(py, |state, _| {
            if state.ready.is_empty() { state.timers.next_deadline() } else { None }
        });
        if let Some(deadline) = deadline {
            self.virtual_clock.with(py, |clock, _| clock.as_mut().map(|it| it.jump(deadline)));
        }
        Ok(())
    }

    /// A jump ends at the very deadline: there is no resolution to allow for.
    pub(super) fn has_virtual_clock(&self, py: Python<'_>) -> bool {
        self.has_custom_clock() && self.virtual_clock.with(py, |clock, _| clock.is_some())
    }

    pub(super) fn start_virtual_clock(&self, py: Python<'_>, threshold: Duration) {
        self.virtual_clock.with(py, |clock, _| *clock = Some(VirtualClock::new(threshold)));
    }

    /// The time of the virtual clock.
    pub(super) fn virtual_time(&self, py: Python<'_>) -> f64 {
        self.virtual_clock.with(py, |clock, _| clock.as_ref().map_or(0.0, VirtualClock::now))
    }
}
