//! Calling a transport's protocol.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::BaseTransport;
use super::kind::Kind;
use super::writing::Caller;
use crate::errors;
use crate::event_loop::EventLoop;
use crate::handle::{Args, Call};
use crate::tls::TlsLayer;
use crate::{ffi, names};

/// What a socket's protocol is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Receives {
    Data,
    /// It brings its own buffers (S16.7).
    Buffers,
    /// It is TLS, which wants no object for each of its records.
    Records,
}

impl Receives {
    pub(super) fn of(protocol: &Bound<'_, PyAny>, kind: Kind) -> PyResult<Self> {
        if kind != Kind::Stream {
            return Ok(Self::Data);
        }
        if protocol.is_instance_of::<TlsLayer>() {
            return Ok(Self::Records);
        }
        Ok(if is_buffered(protocol)? { Self::Buffers } else { Self::Data })
    }
}

/// Whether a protocol brings its own buffers.
pub(crate) fn is_buffered(protocol: &Bound<'_, PyAny>) -> PyResult<bool> {
    protocol.is_instance(names::buffered_protocol_class(protocol.py())?)
}

/// Looks at what `get_buffer` returned.
///
/// Errors: RuntimeError if there is no room in it.
pub(crate) fn check_room(buffer: &Bound<'_, PyAny>) -> PyResult<()> {
    match buffer.len()? {
        0 => Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer")),
        _ => Ok(()),
    }
}

/// A protocol and where to call it.
pub(super) struct Target<'py> {
    pub(super) protocol: Bound<'py, PyAny>,
    pub(super) receives: Receives,
    context: Bound<'py, PyAny>,
}

impl<'py> Target<'py> {
    /// Calls a method in the transport's context.
    #[inline]
    pub(super) fn call<const COUNT: usize>(
        &self,
        method: &Bound<'py, PyString>,
        args: [&Bound<'py, PyAny>; COUNT],
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run(|| ffi::call_method(&self.protocol, method, args))
    }

    /// Does something there.
    #[inline]
    pub(super) fn run<T>(&self, body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
        ffi::in_context(&self.context, body)
    }
}

impl BaseTransport {
    /// The protocol, while the connection lives.
    #[inline]
    pub(super) fn target<'py>(&self, py: Python<'py>) -> Option<Target<'py>> {
        let (protocol, receives, context) = self.cell.with(py, |state, share| {
            let ties = state.ties.as_ref()?;
            Some((share.share(&ties.protocol), ties.receives, share.share(&ties.context)))
        })?;
        let (protocol, context) = (protocol.into_bound(py), context.into_bound(py));
        Some(Target { protocol, receives, context })
    }

    /// Calls a method whose failure is a failed callback and no more: `connection_made`,
    /// `connection_lost`, and what a pipe tells its protocol in between (S30.8).
    pub(super) fn notify<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        method: &Bound<'py, PyString>,
        argument: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let Some(target) = this.get().target(this.py()) else {
            return Ok(());
        };
        let called = match argument {
            Some(argument) => target.call(method, [argument]),
            None => target.call(method, []),
        };
        let Err(error) = called else {
            return Ok(());
        };
        let args = argument.map_or(Args::None, |argument| Args::One(argument.clone().unbind()));
        Self::call_failed(this, event_loop, target, method, args, error)
    }

    /// Reports the failure of such a call.
    #[cold]
    pub(super) fn call_failed<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        target: Target<'py>,
        method: &Bound<'py, PyString>,
        args: Args,
        error: PyErr,
    ) -> PyResult<()> {
        // A protocol need not have the method: then it is the transport that the report names.
        let callback = target.protocol.getattr(method).unwrap_or_else(|_| this.as_any().clone());
        let call = Call { callback: callback.unbind(), args };
        errors::job_failed(event_loop, call, target.context, error)
    }

    /// Calls `pause_writing` or `resume_writing`, as long as the loop is open. Their failure is
    /// reported and the transport lives on (S17.5).
    pub(super) fn control_flow<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        method: &Bound<'py, PyString>,
        caller: Caller,
    ) -> PyResult<()> {
        let py = this.py();
        let Some(target) = this.get().target(py).filter(|_| !event_loop.get().closed()) else {
            return Ok(());
        };
        let outcome = match caller {
            Caller::Application => ffi::call_method(&target.protocol, method, []),
            Caller::Loop => target.call(method, []),
        };
        let Err(error) = outcome else {
            return Ok(());
        };
        errors::flow_control_failed(event_loop, method, this, target.protocol, error)
    }
}
