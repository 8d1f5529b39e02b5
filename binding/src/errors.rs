//! Errors: from the engine to Python, and from user code to the loop's exception handler.

use std::io;

use ferroloop_engine::InvalidLimits;
use pyo3::exceptions::{
    PyBaseException, PyKeyboardInterrupt, PyOSError, PyRuntimeError, PySystemExit, PyValueError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::event_loop::EventLoop;
use crate::handle::{Call, Handle};
use crate::{ffi, names};

/// `OSError(errno, strerror)`, of which Python picks the subclass; PyO3's own conversion loses
/// errno.
pub(crate) fn os_error(py: Python<'_>, error: &io::Error) -> PyErr {
    let Some(errno) = error.raw_os_error() else {
        return PyOSError::new_err(error.to_string());
    };
    match names::strerror(py).and_then(|strerror| strerror.call1((errno,))) {
        Ok(text) => PyOSError::new_err((errno, text.unbind())),
        Err(error) => error,
    }
}

/// asyncio's text for water marks in the wrong order (S17.1).
pub(crate) fn invalid_limits(limits: &InvalidLimits) -> PyErr {
    let InvalidLimits { high, low } = limits;
    PyValueError::new_err(format!("high ({high}) must be >= low ({low}) must be >= 0"))
}

/// Why the loop does not watch a descriptor or look a name up.
pub(crate) enum Refusal {
    Closed,
    /// No thread looks names up, and none can be started.
    NoThread,
    System(io::Error),
}

impl Refusal {
    pub(crate) fn into_error(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Closed => closed_loop(),
            // What `threading` says.
            Self::NoThread => PyRuntimeError::new_err("can't start new thread"),
            Self::System(error) => os_error(py, &error),
        }
    }
}

pub(crate) fn closed_loop() -> PyErr {
    PyRuntimeError::new_err("Event loop is closed")
}

/// SystemExit and KeyboardInterrupt leave the run; the loop never swallows them (S0.11).
pub(crate) fn is_exit_request(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

/// One call of the loop's exception handler, put together key by key.
pub(crate) struct Report<'py> {
    context: Bound<'py, PyDict>,
    error: Bound<'py, PyBaseException>,
}

impl<'py> Report<'py> {
    pub(crate) fn new(py: Python<'py>, message: &str, error: PyErr) -> PyResult<Self> {
        let (context, error) = (PyDict::new(py), error.into_value(py).into_bound(py));
        context.set_item(intern!(py, "message"), message)?;
        context.set_item(intern!(py, "exception"), &error)?;
        Ok(Self { context, error })
    }

    pub(crate) fn with(self, key: &str, value: impl IntoPyObject<'py>) -> PyResult<Self> {
        self.context.set_item(key, value)?;
        Ok(self)
    }

    /// Errors: what the handler lets through, which leaves the run.
    pub(crate) fn send(self, event_loop: &Bound<'py, EventLoop>) -> PyResult<()> {
        let name = intern!(event_loop.py(), "call_exception_handler");
        let report = || ffi::call_method(event_loop, name, [&self.context]).map(drop);
        ffi::handling(&self.error, report)
    }
}

/// A scheduled callback raised (S3.10).
#[cold]
pub(crate) fn callback_failed(handle: &Bound<'_, Handle>, error: PyErr) -> PyResult<()> {
    let py = handle.py();
    if is_exit_request(py, &error) {
        return Err(error);
    }
    // What the callback's own repr raises has the error for its context.
    let text = ffi::handling(error.value(py), || Handle::callback_text(handle))?;
    let mut report =
        Report::new(py, &format!("Exception in callback {text}"), error)?.with("handle", handle)?;
    if let Some(stack) = handle.get().source_traceback(py) {
        report = report.with("source_traceback", stack)?;
    }
    report.send(&handle.get().event_loop(py))
}

/// A job that had no handle failed: one is made for the report of a failed callback.
#[cold]
pub(crate) fn job_failed<'py>(
    event_loop: &Bound<'py, EventLoop>,
    call: Call,
    context: Bound<'py, PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let handle = Handle::new(event_loop, call, context, false)?;
    callback_failed(&ffi::make_lasting(event_loop.py(), handle)?, error)
}

/// `pause_writing` or `resume_writing` raised: it is reported and the transport lives on (S17.5).
///
/// Errors: the exit request that it was, and what the exception handler lets through.
#[cold]
pub(crate) fn flow_control_failed<'py>(
    event_loop: &Bound<'py, EventLoop>,
    method: &Bound<'py, PyString>,
    transport: impl IntoPyObject<'py>,
    protocol: impl IntoPyObject<'py>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    if is_exit_request(py, &error) {
        return Err(error);
    }
    Report::new(py, &format!("protocol.{method}() failed"), error)?
        .with("transport", transport)?
        .with("protocol", protocol)?
        .send(event_loop)
}
