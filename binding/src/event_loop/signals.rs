//! Signals: Python writes their numbers into the loop's self-pipe, and the loop reads them there.

use std::os::fd::RawFd;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::EventLoop;
use super::reactor::Reactor;
use crate::errors::{Refusal, os_error};
use crate::handle::Handle;
use crate::job::Job;

impl EventLoop {
    /// The write end of the self-pipe, for `signal.set_wakeup_fd`; made on first use.
    pub(super) fn signal_fd(&self, py: Python<'_>) -> PyResult<RawFd> {
        let outcome = self.cell.with(py, |state, _| match &mut state.reactor {
            Some(reactor) => reactor.signal_fd().map_err(Refusal::System),
            None => Err(Refusal::Closed),
        });
        let (fd, displaced) = outcome.map_err(|refusal| refusal.into_error(py))?;
        drop(displaced);
        Ok(fd)
    }

    /// Queues the handlers of the signals whose numbers are in the self-pipe (S36.2).
    ///
    /// No Python code runs before the last of them is queued: an exception that a handler set by
    /// `signal.signal` raises, such as KeyboardInterrupt, must not lose a signal.
    pub(crate) fn on_signals(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let numbers = this.get().cell.with(py, |state, _| {
            state.reactor.as_ref().map_or(Ok(Vec::new()), Reactor::drain_signals)
        });
        let numbers = numbers.map_err(|error| os_error(py, &error))?;
        let handlers = this.getattr(intern!(py, "_signal_handlers"))?;
        let handlers = handlers.cast::<PyDict>()?;
        let mut cancelled = Vec::new();
        for number in numbers {
            let Some(handle) = handlers.get_item(number)? else {
                continue;
            };
            let handle = handle.cast_into::<Handle>()?;
            if handle.get().is_cancelled() {
                cancelled.push(number);
            } else {
                this.get().push(py, Job::Watch(handle.unbind()));
            }
        }
        py.check_signals()?;
        for number in cancelled {
            this.call_method1(intern!(py, "remove_signal_handler"), (number,))?;
        }
        Ok(())
    }
}
