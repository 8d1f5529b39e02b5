//! Coroutines that wait for one event of an fd: the waits of the `sock_*` calls.
//!
//! What is to be done with the socket is done by the coroutine itself when it runs again, and not
//! when the event comes: a call that is cancelled in between has taken nothing from the socket.

use std::os::fd::RawFd;

use pyo3::prelude::*;

use super::EventLoop;
use super::watch::{Listener, Side, descriptor};
use crate::future;

impl EventLoop {
    /// A future that is done with the next event of one side of `fd`.
    pub(super) fn wait_for<'py>(
        this: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        side: Side,
    ) -> PyResult<Bound<'py, PyAny>> {
        this.get().check_closed()?;
        Self::ensure_no_transport(this, fd)?;
        let waiter = future::create(this)?;
        let listener = Listener::Waiter(waiter.clone().unbind());
        Self::set_listener(this, descriptor(fd)?, side, listener)?;
        Ok(waiter)
    }

    /// The event has come: the wait is over, unless it was ended or replaced before this job's turn.
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
    pub(super) fn end_wait(&self, fd: RawFd, waiter: &Bound<'_, PyAny>) {
        for side in [Side::Reader, Side::Writer] {
            drop(self.take_waiter(fd, side, waiter));
        }
    }

    fn take_waiter(&self, fd: RawFd, side: Side, waiter: &Bound<'_, PyAny>) -> Option<Listener> {
        let this = waiter.as_unbound();
        self.cell.with(waiter.py(), |state, _| {
            let is_it =
                |listener: &Listener| matches!(listener, Listener::Waiter(it) if it.is(this));
            state.reactor.as_mut()?.take_listener(fd, side, is_it)
        })
    }
}
