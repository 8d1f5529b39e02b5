//! Who owns a transport's file descriptor: exactly one of us and Python.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::errors::os_error;
use crate::{ffi, names};

/// EBADF, for a descriptor that was closed behind the transport's back.
const EBADF: i32 = 9;

pub(crate) enum Descriptor {
    /// Accepted by the loop; no Python object knows it yet.
    Owned(OwnedFd),
    /// Owned by this Python object: a socket, or what was given as a pipe.
    Object(Py<PyAny>, RawFd),
    /// The connection is lost.
    Closed,
}

impl Descriptor {
    /// Adopts a Python object with `fileno()`.
    pub(crate) fn of(owner: &Bound<'_, PyAny>) -> PyResult<Self> {
        let fd = owner.call_method0(intern!(owner.py(), "fileno"))?.extract()?;
        Ok(Self::Object(owner.clone().unbind(), fd))
    }

    /// The number; -1 once closed.
    #[inline]
    pub(crate) fn fd(&self) -> RawFd {
        match self {
            Self::Owned(fd) => fd.as_raw_fd(),
            Self::Object(_, fd) => *fd,
            Self::Closed => -1,
        }
    }

    /// The Python object, if there is one already.
    pub(crate) fn object(&self) -> Option<&Py<PyAny>> {
        match self {
            Self::Object(owner, _) => Some(owner),
            _ => None,
        }
    }

    /// Gives an owned fd to a Python socket made for it.
    pub(crate) fn into_socket(self, py: Python<'_>) -> PyResult<Self> {
        let Self::Owned(fd) = self else { return Ok(self) };
        let socket = python_socket(py, fd.as_raw_fd())?;
        Ok(Self::Object(socket.unbind(), fd.into_raw_fd()))
    }

    /// The same for a descriptor in place: `socket` was made of its number, and comes back if the
    /// descriptor is not ours to give any more.
    pub(super) fn hand_over(&mut self, socket: Py<PyAny>) -> Result<(), Py<PyAny>> {
        match std::mem::replace(self, Self::Closed) {
            Self::Owned(fd) => {
                *self = Self::Object(socket, fd.into_raw_fd());
                Ok(())
            }
            other => {
                *self = other;
                Err(socket)
            }
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.object().map_or(Ok(()), |owner| visit.call(owner))
    }

    /// Closes the fd, through the Python object if that owns it (S30.13).
    pub(crate) fn close(self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Owned(fd) => drop(fd),
            Self::Object(owner, _) => {
                owner.call_method0(py, intern!(py, "close"))?;
            }
            Self::Closed => {}
        }
        Ok(())
    }
}

/// A non-blocking Python socket over `fd`, which the socket owns from now on.
pub(super) fn python_socket(py: Python<'_>, fd: RawFd) -> PyResult<Bound<'_, PyAny>> {
    let class = names::socket_class(py)?;
    let socket = class.call_method1(intern!(py, "__new__"), (class,))?;
    let options = PyDict::new(py);
    options.set_item(intern!(py, "fileno"), fd)?;
    let made = socket
        .call_method(intern!(py, "__init__"), (), Some(&options))
        .and_then(|_| socket.call_method1(intern!(py, "setblocking"), (false,)));
    if let Err(error) = made {
        // However far it came before a signal's handler failed, the fd is its former owner's to
        // close. No handler runs in the method of the C class.
        names::c_socket_class(py)?.call_method1(intern!(py, "detach"), (socket,))?;
        return Err(error);
    }
    Ok(socket)
}

/// EBADF if `owner` no longer owns `fd`. The number may be a stranger's by now: without this look a
/// socket closed behind our back would send its peer's bytes to somebody else.
pub(super) fn check_owner(py: Python<'_>, owner: &Py<PyAny>, fd: RawFd) -> PyResult<()> {
    match fileno(owner.bind(py)) {
        Ok(current) if current.extract::<RawFd>()? == fd => return Ok(()),
        // A closed socket has the number -1, a closed file or connection none at all.
        Err(error) if !is_closed(py, &error) => return Err(error),
        Ok(_) | Err(_) => {}
    }
    Err(os_error(py, &io::Error::from_raw_os_error(EBADF)))
}

/// `owner.fileno()`, most often of a plain socket.
fn fileno<'py>(owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    if owner.is_exact_instance(names::socket_class(py)?) {
        ffi::call(names::socket_fileno(py)?, [owner.as_unbound()])
    } else {
        owner.call_method0(intern!(py, "fileno"))
    }
}

/// What `fileno()` raises of a closed file, and of a closed `multiprocessing.Connection`.
fn is_closed(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyOSError>(py)
}
