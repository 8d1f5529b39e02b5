//! What differs between the transports: the words for their errors, and which errors are quiet.

use ferroloop_engine::{Channel, PipeKind, borrow_fd, set_nonblocking};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

use super::Descriptor;
use crate::errors::os_error;
use crate::lost_writes::LostWrites;

/// A terminal whose other side has gone: that is how it says end of file (S30.7).
const EIO: i32 = 5;

pub(super) const fn class_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Socket => "StreamTransport",
        Channel::Datagram => "DatagramTransport",
        Channel::ReadEnd => "ReadPipeTransport",
        Channel::WriteEnd => "WritePipeTransport",
    }
}

pub(super) const fn read_error(channel: Channel) -> &'static str {
    match channel {
        Channel::Socket => "Fatal read error on socket transport",
        Channel::Datagram => "Fatal read error on datagram transport",
        Channel::ReadEnd | Channel::WriteEnd => "Fatal read error on pipe transport",
    }
}

pub(super) const fn write_error(channel: Channel) -> &'static str {
    match channel {
        Channel::Socket => "Fatal write error on socket transport",
        Channel::Datagram => "Fatal write error on datagram transport",
        Channel::ReadEnd | Channel::WriteEnd => "Fatal write error on pipe transport",
    }
}

pub(super) const fn lost_write(channel: Channel) -> &'static str {
    match channel {
        Channel::Socket | Channel::Datagram => "socket.send() raised exception.",
        Channel::ReadEnd | Channel::WriteEnd => {
            "pipe closed by peer or os.write(pipe, data) raised exception."
        }
    }
}

/// The writes lost by the end of a connection itself. asyncio counts the loss of a socket as the
/// first, and of a pipe only a failed write (S31.14).
pub(super) fn lost_writes(channel: Channel) -> LostWrites {
    let mut lost = LostWrites::default();
    if matches!(channel, Channel::Socket | Channel::Datagram) {
        lost.count();
    }
    lost
}

/// Whether an error is nobody's fault and goes to the debug log alone (S16.10, S30.7, S31.10).
pub(super) fn is_quiet(channel: Channel, py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    if !error.is_instance_of::<PyOSError>(py) {
        return Ok(false);
    }
    match channel {
        Channel::Socket | Channel::Datagram | Channel::WriteEnd => Ok(true),
        Channel::ReadEnd => error.value(py).getattr(intern!(py, "errno"))?.eq(EIO),
    }
}

/// The descriptor of an object with `fileno()`. Errors: what `fileno()` raises, OSError EBADF.
pub(super) fn open_descriptor(pipe: &Bound<'_, PyAny>) -> PyResult<Descriptor> {
    let descriptor = Descriptor::of(pipe)?;
    borrow_fd(descriptor.fd()).map_err(|error| os_error(pipe.py(), &error))?;
    Ok(descriptor)
}

/// Takes over a descriptor as one end of a pipe, and makes its file non-blocking.
///
/// Errors: ValueError for what is no pipe, socket or character device, OSError EBADF.
pub(super) fn adopt_pipe(
    py: Python<'_>,
    descriptor: &Descriptor,
    channel: Channel,
) -> PyResult<PipeKind> {
    let examine = || {
        let fd = borrow_fd(descriptor.fd())?;
        let kind = PipeKind::of(fd)?;
        if kind.is_some() {
            set_nonblocking(fd)?;
        }
        Ok(kind)
    };
    let kind = examine().map_err(|error: std::io::Error| os_error(py, &error))?;
    kind.ok_or_else(|| {
        PyValueError::new_err(match channel {
            Channel::WriteEnd => "Pipe transport is only for pipes, sockets and character devices",
            _ => "Pipe transport is for pipes/sockets only.",
        })
    })
}
