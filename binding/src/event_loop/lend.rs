//! Lending the loop's wait to a host: somebody else's loop waits until there is something to do
//! here.
//!
//! Until the next iteration the waker is armed, as in a sleep of the loop's own.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use ferroloop_engine::clock;
use pyo3::prelude::*;

use super::{EventLoop, LoopState};
use crate::errors::Refusal;
use crate::job::Job;

impl EventLoop {
    /// What a host waits on.
    pub(super) fn backend_fd(&self, py: Python<'_>) -> PyResult<RawFd> {
        let fd = self.cell.with(py, |state, _| {
            state.reactor.as_ref().map(|reactor| reactor.poller.as_fd().as_raw_fd())
        });
        fd.ok_or_else(|| Refusal::Closed.into_error(py))
    }

    /// How long a host may wait that is about to; `None` is until the descriptor is readable.
    pub(super) fn backend_timeout(this: &Bound<'_, Self>) -> PyResult<Option<Duration>> {
        let (event_loop, py) = (this.get(), this.py());
        event_loop.drop_cancelled_timers(py);
        let lent = event_loop
            .cell
            .with(py, |state, _| state.lend().map(|idle| (idle, state.timers.next_deadline())));
        let (idle, deadline) = lent.map_err(|refusal| refusal.into_error(py))?;
        match deadline {
            _ if !idle || event_loop.stopping.load(Ordering::Relaxed) => Ok(Some(Duration::ZERO)),
            None => Ok(None),
            Some(deadline) => Self::time_before(this, deadline),
        }
    }

    /// Queues what need not come from a running loop: a host that waits in its place hears of it.
    pub(crate) fn push_and_wake(&self, py: Python<'_>, job: Job) {
        self.push(py, job);
        self.wake(py);
    }
}

impl LoopState {
    /// Arms the waker before it looks whether there is nothing to do, as `fall_asleep` does. What
    /// comes later makes the descriptor readable.
    fn lend(&mut self) -> Result<bool, Refusal> {
        let Some(reactor) = &mut self.reactor else {
            return Err(Refusal::Closed);
        };
        reactor.waker.arm();
        let quiet = reactor.poller.lend().inspect_err(|_| reactor.waker.disarm());
        let quiet = quiet.map_err(Refusal::System)?;
        let idle = quiet && self.ready.is_empty() && !self.lookups.are_answered();
        let now = clock::now();
        if idle {
            self.idle.begin(now);
        } else {
            self.idle.end(now);
        }
        Ok(idle)
    }
}
