//! Futures: those the loop makes, and how it settles them.

use pyo3::intern;
use pyo3::prelude::*;

use crate::event_loop::EventLoop;
use crate::handle::{Args, Call};
use crate::{errors, ffi, names};

/// An `asyncio.Future` of the loop.
pub(crate) fn create<'py>(event_loop: &Bound<'py, EventLoop>) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    names::future_class(py)?.call((), Some(&EventLoop::as_keyword(event_loop)?))
}

/// Gives the future its result, None, unless whoever waited has given up. To fail is to be a failed
/// callback, as which asyncio does it.
pub(crate) fn wake(future: &Bound<'_, PyAny>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
    let py = future.py();
    let set_result = || -> PyResult<()> {
        if !future.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            future.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
        Ok(())
    };
    set_result().or_else(|error| {
        let callback = future.getattr(intern!(py, "set_result"))?.unbind();
        let call = Call { callback, args: Args::One(py.None()) };
        errors::job_failed(event_loop, call, ffi::copy_context(py)?, error)
    })
}
