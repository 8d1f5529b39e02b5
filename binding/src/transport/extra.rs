//! `get_extra_info`: addresses and the socket view, made when somebody asks.

use std::os::fd::RawFd;

use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::address::address_to_python;
use super::descriptor::python_socket;
use super::kind::Kind;
use super::{Addresses, BaseTransport};
use crate::{ffi, names};

/// The addresses of a transport over a Python socket, gathered as asyncio does: at once, since the
/// peer's is gone when the peer is (S16.4); and what the creator added.
pub(super) fn of_socket<'py>(
    socket: &Bound<'py, PyAny>,
    given: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = socket.py();
    let extra = PyDict::new(py);
    let peername = intern!(py, "peername");
    extra.set_item(intern!(py, "sockname"), known_address(socket, intern!(py, "getsockname"))?)?;
    if let Some(given) = given {
        extra.update(given.as_mapping())?;
    }
    if !extra.contains(peername)? {
        extra.set_item(peername, known_address(socket, intern!(py, "getpeername"))?)?;
    }
    Ok(extra)
}

/// What the socket's method says; None if the system knows of no address.
fn known_address<'py>(
    socket: &Bound<'py, PyAny>,
    method: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match ffi::call_method(socket, method, []) {
        Err(error) if error.is_instance_of::<PyOSError>(socket.py()) => Ok(None),
        address => address.map(Some),
    }
}

impl BaseTransport {
    pub(super) fn extra_info<'py>(
        this: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = this.py();
        let extra = Self::extra(this);
        if let Some(value) = extra.get_item(name)? {
            return Ok(Some(value));
        }
        let value = match name.extract::<&str>() {
            Ok("socket") if this.get().kind(py) == Kind::Stream => Self::socket_view(this)?,
            Ok("sockname") => this.get().address(py, |addresses| &addresses.own)?,
            Ok("peername") => this.get().address(py, |addresses| &addresses.peer)?,
            _ => None,
        };
        if let Some(value) = &value {
            extra.set_item(name, value)?;
        }
        Ok(value)
    }

    fn extra<'py>(this: &Bound<'py, Self>) -> Bound<'py, PyDict> {
        let py = this.py();
        if let Some(extra) = this.get().cell.shared(py, |state| state.extra.as_ref()) {
            return extra;
        }
        let fresh = PyDict::new(py);
        let shared = fresh.clone().unbind();
        let old = this.get().cell.with(py, move |state, _| state.extra.replace(shared));
        drop(old);
        fresh
    }

    fn address<'py>(
        &self,
        py: Python<'py>,
        pick: impl FnOnce(&Addresses) -> &ferroloop_engine::Address + Send,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let address = self
            .cell
            .with(py, |state, _| state.addresses.as_ref().map(|addresses| pick(addresses).clone()));
        address.map(|address| address_to_python(py, &address)).transpose()
    }

    /// The socket of an accepted connection gets its Python object here, which owns the fd then.
    fn socket_view<'py>(this: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = this.py();
        let (fd, socket) = this.get().cell.with(py, |state, share| {
            let socket = state.descriptor.object().map(|socket| share.share(socket));
            (state.descriptor.fd(), socket)
        });
        match socket {
            Some(socket) => names::stream_socket_class(py)?.call1((socket, this)).map(Some),
            None if fd < 0 => Ok(None),
            None => {
                Self::adopt_socket(this, fd)?;
                Self::socket_view(this)
            }
        }
    }

    /// Whoever ran while the socket was made may have asked for it as well: the first one is the
    /// owner.
    fn adopt_socket(this: &Bound<'_, Self>, fd: RawFd) -> PyResult<()> {
        let py = this.py();
        let socket = python_socket(py, fd)?.unbind();
        match this.get().cell.with(py, move |state, _| state.descriptor.hand_over(socket)) {
            Ok(()) => Ok(()),
            Err(late) => late.call_method0(py, intern!(py, "detach")).map(drop),
        }
    }
}
