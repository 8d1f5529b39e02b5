//! Who owns a transport's file descriptor: exactly one of us and Python.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use ferroloop_engine::{borrow_fd, nodelay};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::errors::os_error;
use crate::names;

/// The same everywhere (`getprotobyname(3)`).
const IPPROTO_TCP: i32 = 6;

/// EBADF, for a socket that was closed behind the transport's back.
const EBADF: i32 = 9;

pub(crate) enum Descriptor {
    /// Accepted by the loop; no Python object knows it yet.
    Owned(OwnedFd),
    /// Owned by this Python socket.
    Socket(Py<PyAny>, RawFd),
    /// The connection is lost.
    Closed,
}

impl Descriptor {
    /// Adopts a Python socket.
    pub(crate) fn of_socket(socket: &Bound<'_, PyAny>) -> PyResult<Self> {
        let fd = socket.call_method0(intern!(socket.py(), "fileno"))?.extract()?;
        Ok(Self::Socket(socket.clone().unbind(), fd))
    }

    /// Has TCP send small writes at once (S16.3); other sockets have no such delay.
    pub(super) fn set_nodelay(socket: &Bound<'_, PyAny>) -> PyResult<()> {
        let protocol: i32 = socket.getattr(intern!(socket.py(), "proto"))?.extract()?;
        if protocol == IPPROTO_TCP {
            let fd: RawFd = socket.call_method0(intern!(socket.py(), "fileno"))?.extract()?;
            let outcome = borrow_fd(fd).and_then(nodelay);
            outcome.map_err(|error| os_error(socket.py(), &error))?;
        }
        Ok(())
    }

    /// The number; -1 once closed.
    #[inline]
    pub(crate) fn fd(&self) -> RawFd {
        match self {
            Self::Owned(fd) => fd.as_raw_fd(),
            Self::Socket(_, fd) => *fd,
            Self::Closed => -1,
        }
    }

    /// The Python socket, if there is one already.
    pub(crate) fn socket(&self) -> Option<&Py<PyAny>> {
        match self {
            Self::Socket(socket, _) => Some(socket),
            _ => None,
        }
    }

    /// Gives an owned fd to a Python socket made for it.
    pub(crate) fn into_socket(self, py: Python<'_>) -> PyResult<Self> {
        let Self::Owned(fd) = self else { return Ok(self) };
        let socket = python_socket(py, fd.as_raw_fd())?;
        Ok(Self::Socket(socket.unbind(), fd.into_raw_fd()))
    }

    /// The same for a descriptor in place: `socket` was made of its number.
    pub(super) fn hand_over(&mut self, socket: Py<PyAny>) {
        if let Self::Owned(fd) = std::mem::replace(self, Self::Closed) {
            *self = Self::Socket(socket, fd.into_raw_fd());
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.socket().map_or(Ok(()), |socket| visit.call(socket))
    }

    /// Closes the fd, through the Python socket if that owns it.
    pub(crate) fn close(self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Owned(fd) => drop(fd),
            Self::Socket(socket, _) => {
                socket.call_method0(py, intern!(py, "close"))?;
            }
            Self::Closed => {}
        }
        Ok(())
    }
}

/// A non-blocking Python socket over `fd`, which the socket owns from now on.
pub(super) fn python_socket(py: Python<'_>, fd: RawFd) -> PyResult<Bound<'_, PyAny>> {
    let options = PyDict::new(py);
    options.set_item(intern!(py, "fileno"), fd)?;
    let socket = names::socket_class(py)?.call((), Some(&options))?;
    if let Err(error) = socket.call_method1(intern!(py, "setblocking"), (false,)) {
        // The fd is still its former owner's to close.
        socket.call_method0(intern!(py, "detach"))?;
        return Err(error);
    }
    Ok(socket)
}

/// EBADF if `socket` no longer owns `fd`. The number may be a stranger's by now: without this look
/// a socket closed behind our back would send its peer's bytes to somebody else.
pub(super) fn check_owner(py: Python<'_>, socket: &Py<PyAny>, fd: RawFd) -> PyResult<()> {
    let current: RawFd = socket.call_method0(py, intern!(py, "fileno"))?.extract(py)?;
    if current == fd {
        return Ok(());
    }
    let text = names::strerror(py)?.call1((EBADF,))?;
    Err(PyOSError::new_err((EBADF, text.unbind())))
}
