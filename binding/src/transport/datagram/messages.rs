//! Messages: datagrams with what the system tells besides. Python's socket receives them, which
//! knows every kind of ancillary data.

use std::sync::atomic::Ordering;

use ferroloop_engine::{DONTWAIT, RECEIVE_CLOEXEC};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::DatagramTransport;
use super::ancillary::close_descriptors;
use super::incoming::would_block;
use crate::event_loop::{EventLoop, SCRATCH_SIZE};
use crate::ffi;
use crate::handle::Args;
use crate::transport::{Base, BaseTransport};

/// The arguments of `message_received`: data, ancillary data, flags and address.
pub(super) type Message<'py> = Bound<'py, PyTuple>;

/// The same, taken apart.
type Taken<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, i32, Bound<'py, PyAny>);

impl DatagramTransport {
    /// From the next datagram on `message_received` is called.
    ///
    /// Errors: ValueError for a size that `socket.recvmsg` would refuse, TypeError if the protocol
    /// has no such method.
    pub(super) fn begin_messages(this: &Bound<'_, Self>, room: isize) -> PyResult<()> {
        let py = this.py();
        let room = i32::try_from(room).ok().filter(|room| *room >= 0);
        let Some(room) = room else {
            return Err(PyValueError::new_err("invalid ancillary data buffer length"));
        };
        let Some(target) = this.base().get().target(py) else { return Ok(()) };
        let method = target.protocol.getattr_opt(intern!(py, "message_received"))?;
        if !method.is_some_and(|method| method.is_callable()) {
            let protocol = target.protocol.repr()?;
            let text = format!("the protocol has no method message_received(): {protocol}");
            return Err(PyTypeError::new_err(text));
        }
        this.get().ancillary_room.with(py, |known, _| *known = Some(room));
        this.get().by_python.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// One message with up to `room` bytes of ancillary data; None if there is none.
    ///
    /// From here to the protocol no line of Python runs: a signal's handler could raise there, and
    /// the message with its descriptors would be lost.
    pub(super) fn receive_message<'py>(
        this: &Bound<'py, Self>,
        room: i32,
    ) -> PyResult<Option<Message<'py>>> {
        let py = this.py();
        let Some(socket) = Self::socket_object(this) else { return Ok(None) };
        let args = (SCRATCH_SIZE, room, DONTWAIT | RECEIVE_CLOEXEC);
        let received = match socket.call_method1(intern!(py, "recvmsg"), args) {
            Err(error) if would_block(py, &error) => return Ok(None),
            received => received?,
        };
        let (data, ancdata, flags, address): Taken<'_> = received.extract()?;
        // Linux repeats what it was asked for.
        (data, ancdata, flags & !RECEIVE_CLOEXEC, address).into_pyobject(py).map(Some)
    }
}

/// What it raises is reported as a failed callback, and the transport lives on. What comes in with
/// a message is the protocol's once its method is called.
pub(super) fn message_received<'py>(
    this: &Bound<'py, BaseTransport>,
    event_loop: &Bound<'py, EventLoop>,
    message: &Message<'py>,
) -> PyResult<()> {
    let (py, ancdata) = (this.py(), message.get_item(1)?);
    let method = intern!(py, "message_received");
    let Some(target) = this.get().target(py) else { return close_descriptors(&ancdata) };
    let mut found = false;
    let called = target.run(|| {
        let callback = target.protocol.getattr(method)?;
        found = callback.is_callable();
        ffi::call_with(&callback, message)
    });
    let Err(error) = called else { return Ok(()) };
    if !found {
        close_descriptors(&ancdata)?;
    }
    let args = Args::More(message.clone().unbind());
    BaseTransport::call_failed(this, event_loop, target, method, args, error)
}
