//! Coroutines that wait for one event of an fd: the waits of the `sock_*` calls.
//!
//! What is to be done with the socket is done by the coroutine itself when it runs again, and not
//! when the event comes: a call that is cancelled in between has taken nothing from the socket.

use std::os::fd::RawFd;

use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyTuple};
use pyo3::{PyTraverseError, PyVisit, intern};

use super::EventLoop;
use super::fileno::descriptor;
use super::watch::{Side, Subscriber};
use crate::future;

/// What a coroutine awaits: it is over with the event, or with an exception thrown in, such as a
/// cancellation. Then nobody watches the descriptor any more.
#[pyclass(frozen, immutable_type, module = "ferroloop._ferroloop")]
pub(crate) struct FdWait {
    event_loop: Py<EventLoop>,
    fd: RawFd,
    waiter: Py<PyAny>,
    /// The future's own steps.
    steps: Py<PyIterator>,
}

#[pymethods]
impl FdWait {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> Option<PyResult<Bound<'py, PyAny>>> {
        self.steps.bind(py).clone().next()
    }

    /// Ends the wait and raises the exception.
    #[pyo3(signature = (*exception))]
    fn throw<'py>(
        &self,
        py: Python<'py>,
        exception: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.close(py);
        self.steps.bind(py).call_method1(intern!(py, "throw"), exception)
    }

    /// Ends the wait.
    fn close(&self, py: Python<'_>) {
        self.event_loop.get().end_wait(self.fd, self.waiter.bind(py));
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.waiter)?;
        visit.call(&self.steps)
    }
}

impl EventLoop {
    /// A wait for the next event of one side of `fd`.
    pub(super) fn wait_for(
        this: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        side: Side,
    ) -> PyResult<FdWait> {
        this.get().check_closed()?;
        Self::ensure_no_transport(this, fd)?;
        let waiter = future::create(this)?;
        let steps = waiter.try_iter()?.unbind();
        let (fd, waiter) = (descriptor(fd)?, waiter.unbind());
        let subscriber = Subscriber::Waiter(waiter.clone_ref(this.py()));
        Self::set_subscriber(this, fd, side, subscriber)?;
        Ok(FdWait { event_loop: this.clone().unbind(), fd, waiter, steps })
    }

    /// The event has come: the wait is over, unless it was ended or replaced before this job's
    /// turn.
    pub(crate) fn on_waited(
        this: &Bound<'_, Self>,
        fd: RawFd,
        side: Side,
        waiter: Py<PyAny>,
    ) -> PyResult<()> {
        let waiter = waiter.into_bound(this.py());
        if this.get().take_waiter(fd, side, &waiter).is_none() {
            return Ok(());
        }
        future::wake(&waiter, this)
    }

    /// Ends a wait for either side; a wait that took its place goes on (S25.6).
    fn end_wait(&self, fd: RawFd, waiter: &Bound<'_, PyAny>) {
        for side in [Side::Reader, Side::Writer] {
            drop(self.take_waiter(fd, side, waiter));
        }
    }

    fn take_waiter(&self, fd: RawFd, side: Side, waiter: &Bound<'_, PyAny>) -> Option<Subscriber> {
        let this = waiter.as_unbound();
        self.cell.with(waiter.py(), |state, _| {
            let is_it = |it: &Subscriber| matches!(it, Subscriber::Waiter(it) if it.is(this));
            state.reactor.as_mut()?.take_subscriber(fd, side, is_it)
        })
    }
}
