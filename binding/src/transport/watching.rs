//! What the poller is told: a stream's place in its table, or one side of a pipe's fd.

use std::os::fd::RawFd;

use ferroloop_engine::{Interest, Token};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;

use super::BaseTransport;
use crate::event_loop::{EventLoop, Side, Watch};
use crate::names;

impl BaseTransport {
    /// Enters the transport of a socket into the poller's table and its server's list, and starts
    /// it.
    pub(super) fn enter(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        waiter: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        let fd = this.get().cell.with(py, |state, _| state.descriptor.fd());
        let watch = Watch::Transport(this.clone().unbind());
        let token = EventLoop::enroll(event_loop, fd, watch, Interest::NONE)?;
        this.get().cell.with(py, |state, _| state.token = token);
        let server = this.get().cell.shared(py, |state| state.ties.as_ref()?.server.as_ref());
        if let Some(server) = server {
            server.call_method1(intern!(py, "_attach"), (this,))?;
        }
        Self::start(this, event_loop, waiter);
        Ok(())
    }

    /// Tells the poller what the stream now waits for, if that has changed.
    #[inline]
    pub(super) fn update_interest(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        let change = this.get().cell.with(this.py(), |state, _| {
            let wanted = state.wanted();
            let told = state.interest.replace(wanted);
            (told != Some(wanted)).then_some((state.kind, state.token, told, wanted))
        });
        let Some((kind, token, told, wanted)) = change else { return Ok(()) };
        let told = told.unwrap_or(Interest::NONE);
        if kind.is_socket() {
            Self::watch(this, event_loop, token, told, wanted)
        } else {
            Self::subscribe(this, event_loop, token.fd(), told, wanted)
        }
    }

    /// A stream owns its place in the poller's table.
    #[inline]
    fn watch(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        token: Token,
        told: Interest,
        wanted: Interest,
    ) -> PyResult<()> {
        if wanted.is_none() {
            // Nothing will call the transport, so the loop must not be what keeps it alive (S57.3).
            // From 3.15 on only references with a callback, whatever that does, are dead before a
            // finalizer runs that closes the socket and so lets others have its number.
            let weak = PyWeakrefReference::new_with(this, names::id(this.py())?)?.unbind();
            drop(event_loop.get().replace_watch(this.py(), token, Watch::Idle(weak)));
        } else if told.is_none() {
            let strong = Watch::Transport(this.clone().unbind());
            drop(event_loop.get().replace_watch(this.py(), token, strong));
        }
        event_loop.get().set_interest(this.py(), token, wanted);
        Ok(())
    }

    /// A pipe takes the sides of its fd that it needs and leaves the other free: a terminal is
    /// often given to a read and a write transport at once.
    fn subscribe(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        fd: RawFd,
        told: Interest,
        wanted: Interest,
    ) -> PyResult<()> {
        for side in [Side::Reader, Side::Writer] {
            let (was_on, is_on) =
                (told.contains(side.interest()), wanted.contains(side.interest()));
            if was_on && !is_on {
                drop(event_loop.get().unsubscribe(fd, side, this));
            } else if is_on && !was_on {
                let Err(error) = EventLoop::subscribe(event_loop, fd, side, this) else { continue };
                // What cannot be watched would never be heard of again.
                return Self::read_failed(this, event_loop, error);
            }
        }
        Ok(())
    }

    /// Takes the transport out of the poller's table.
    pub(super) fn unwatch(this: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) {
        let py = this.py();
        let (kind, token) = this.get().cell.with(py, |state, _| (state.kind, state.token));
        if kind.is_socket() {
            drop(event_loop.get().dismiss(py, token));
            return;
        }
        for side in [Side::Reader, Side::Writer] {
            drop(event_loop.get().unsubscribe(token.fd(), side, this));
        }
    }
}
