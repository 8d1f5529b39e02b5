//! The system calls of `sock_recv`, `sock_recv_into` (`ferroloop._sock`) and `sock_sendfile`
//! (`ferroloop._sendfile`): each one a single attempt that answers None if it would have to wait.

use std::os::fd::RawFd;

use ferroloop_engine::{self as engine, borrow_fd, try_recv, try_recv_uninit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{EventLoop, SCRATCH_SIZE};
use crate::errors::os_error;
use crate::{ffi, names};

/// Receives up to `n` bytes; `b""` is the end of the stream. What is no size, the socket's own
/// method refuses in its own words.
#[pyfunction(name = "try_recv")]
fn recv<'py>(
    r#loop: &Bound<'py, EventLoop>,
    sock: &Bound<'py, PyAny>,
    n: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match n.extract::<isize>().map(usize::try_from) {
        Ok(Ok(limit)) => recv_up_to(r#loop, sock, limit).map(|bytes| bytes.map(Bound::into_any)),
        _ => sock.call_method1(intern!(sock.py(), "recv"), (n,)).map(Some),
    }
}

fn recv_up_to<'py>(
    event_loop: &Bound<'py, EventLoop>,
    sock: &Bound<'py, PyAny>,
    limit: usize,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = sock.py();
    if limit == 0 {
        return ffi::bytes_of(py, b"").map(Some);
    }
    let fd = own_number(sock)?;
    if limit > SCRATCH_SIZE {
        return recv_large(py, fd, limit);
    }
    event_loop.get().with_scratch(py, |scratch| {
        recv_bytes(py, fd, scratch.get_mut(..limit).unwrap_or_default())
    })
}

/// More than the scratch buffer holds goes straight into a new `bytes`, for which there may be no
/// memory: the limit is the user's.
fn recv_large(py: Python<'_>, fd: RawFd, limit: usize) -> PyResult<Option<Bound<'_, PyBytes>>> {
    let mut received = Ok(None);
    let bytes = ffi::bytes_of_at_most(py, limit, |memory| {
        received = borrow_fd(fd).and_then(|fd| try_recv_uninit(fd, memory));
        received.as_ref().map_or(0, |length| length.unwrap_or(0))
    })?;
    let length = received.map_err(|error| os_error(py, &error))?;
    Ok(length.map(|_| bytes))
}

fn recv_bytes<'py>(
    py: Python<'py>,
    fd: RawFd,
    buffer: &mut [u8],
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let received = borrow_fd(fd).and_then(|fd| try_recv(fd, buffer));
    let length = received.map_err(|error| os_error(py, &error))?;
    length.map(|length| ffi::bytes_of(py, buffer.get(..length).unwrap_or_default())).transpose()
}

/// Receives into a writable buffer; the number of bytes, 0 at the end of the stream. What is no
/// such buffer, the socket's own method refuses in its own words.
#[pyfunction(name = "try_recv_into")]
fn recv_into(sock: &Bound<'_, PyAny>, buf: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    let fd = own_number(sock)?;
    let received = ffi::with_writable_buffer(buf, |memory| {
        if memory.is_empty() {
            return Ok(Some(0));
        }
        try_recv(borrow_fd(fd)?, memory)
    });
    match received {
        Ok(received) => received.map_err(|error: std::io::Error| os_error(sock.py(), &error)),
        Err(_) => sock.call_method1(intern!(sock.py(), "recv_into"), (buf,))?.extract().map(Some),
    }
}

/// Sends up to `count` bytes of the file `fd` from `offset` on; 0 at its end.
#[pyfunction(name = "try_sendfile")]
fn sendfile(
    sock: &Bound<'_, PyAny>,
    fd: RawFd,
    offset: u64,
    count: usize,
) -> PyResult<Option<usize>> {
    // asyncio asks the object itself, too.
    let socket = sock.call_method0(intern!(sock.py(), "fileno"))?.extract()?;
    try_sendfile(sock.py(), socket, fd, offset, count)
}

/// Detached: the file may have to be read from a disk first.
pub(crate) fn try_sendfile(
    py: Python<'_>,
    socket: RawFd,
    file: RawFd,
    offset: u64,
    count: usize,
) -> PyResult<Option<usize>> {
    let sent =
        py.detach(|| engine::try_sendfile(borrow_fd(socket)?, borrow_fd(file)?, offset, count));
    sent.map_err(|error| os_error(py, &error))
}

/// The number that the socket's own methods use, whatever its class says of itself.
fn own_number(sock: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    ffi::call(names::c_socket_fileno(sock.py())?, [sock.as_unbound()])?.extract()
}

pub(super) fn add_functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(recv, module)?)?;
    module.add_function(wrap_pyfunction!(recv_into, module)?)?;
    module.add_function(wrap_pyfunction!(sendfile, module)?)
}
