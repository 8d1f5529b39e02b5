//! Sending a file over a stream's socket: the native half of `loop.sendfile`
//! (`ferroloop._sendfile`).
//!
//! While a file is being sent the transport takes no writes, so that nothing comes between its
//! bytes. The sender asks for room, which comes when the outbox is empty and the socket writable,
//! and sends a chunk past the outbox.

use std::os::fd::RawFd;

use ferroloop_engine::Phase;
use pyo3::exceptions::{PyConnectionError, PyRuntimeError};
use pyo3::prelude::*;

use super::{BaseTransport, State};
use crate::event_loop::{EventLoop, try_sendfile};
use crate::future;

impl BaseTransport {
    /// Refuses writes from now on; what was written before goes first.
    pub(super) fn begin_sendfile(this: &Bound<'_, Self>) -> PyResult<()> {
        Self::uncork_now(this)?;
        let begun = this
            .get()
            .cell
            .with(this.py(), |state, _| std::mem::replace(&mut state.sends_file, true));
        if begun {
            return Err(PyRuntimeError::new_err("Empty waiter is already set"));
        }
        Ok(())
    }

    /// Takes writes again.
    pub(super) fn end_sendfile(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let waiter = this.get().cell.with(py, |state, _| {
            state.sends_file = false;
            state.room.take()
        });
        drop(waiter);
        Self::while_alive(this, |event_loop| Self::update_interest(this, event_loop))
    }

    /// A future that is done when a chunk may be sent, or the connection lost.
    pub(super) fn room<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        let Some(event_loop) = this.get().event_loop(py) else { return Err(closed_by_peer()) };
        let room = future::create(&event_loop)?;
        let waiter = room.clone().unbind();
        let old = this.get().cell.with(py, move |state, _| state.room.replace(waiter));
        drop(old);
        Self::update_interest(this, &event_loop)?;
        Ok(room)
    }

    /// Sends a chunk of the file `fd`; None if there is no room, or will never be.
    pub(super) fn send_chunk(
        this: &Bound<'_, Self>,
        fd: RawFd,
        offset: u64,
        count: usize,
    ) -> PyResult<Option<usize>> {
        let py = this.py();
        let socket =
            this.get().cell.with(py, |state, _| state.has_room().then(|| state.descriptor.fd()));
        let Some(socket) = socket else { return Ok(None) };
        this.get().check_descriptor(py)?;
        try_sendfile(py, socket, fd, offset, count)
    }

    /// The socket is writable: there is room if nothing else is left to send.
    pub(super) fn grant_room(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        let py = this.py();
        let room = this
            .get()
            .cell
            .with(py, |state, _| if state.has_room() { state.room.take() } else { None });
        let Some(room) = room else { return Ok(()) };
        Self::update_interest(this, event_loop)?;
        future::wake(room.bind(py), event_loop)
    }

    /// The connection is lost with `reason` or None: there will be no room any more.
    pub(super) fn deny_room(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        reason: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = this.py();
        let room = this.get().cell.with(py, |state, _| state.room.take());
        let Some(room) = room else { return Ok(()) };
        let error =
            if reason.is_none() { closed_by_peer() } else { PyErr::from_value(reason.clone()) };
        future::settle(room.bind(py), event_loop, Err(error))
    }
}

impl State {
    /// Whether a sender waits for room that may still come.
    pub(super) fn wants_room(&self) -> bool {
        self.room.is_some() && self.stream.phase() == Phase::Open
    }

    fn has_room(&self) -> bool {
        self.stream.phase() == Phase::Open && self.stream.outbox().is_empty()
    }
}

fn closed_by_peer() -> PyErr {
    PyConnectionError::new_err("Connection is closed by peer")
}
