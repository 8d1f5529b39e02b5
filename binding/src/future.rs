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

/// Gives the future its result, None.
pub(crate) fn wake(future: &Bound<'_, PyAny>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
    settle(future, event_loop, Ok(future.py().None().into_bound(future.py())))
}

/// Gives the future its result or its exception, unless whoever waited has given up. If setting it
/// fails, that is reported as a failed callback, since asyncio sets it in one.
pub(crate) fn settle<'py>(
    future: &Bound<'py, PyAny>,
    event_loop: &Bound<'py, EventLoop>,
    outcome: PyResult<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = future.py();
    let (setter, value) = match outcome {
        Ok(result) => (intern!(py, "set_result"), result),
        Err(error) => {
            (intern!(py, "set_exception"), error.into_value(py).into_bound(py).into_any())
        }
    };
    let set = || -> PyResult<()> {
        if !future.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            future.call_method1(setter, (&value,))?;
        }
        Ok(())
    };
    set().or_else(|error| {
        let callback = future.getattr(setter)?.unbind();
        let call = Call { callback, args: Args::One(value.unbind()) };
        errors::job_failed(event_loop, call, ffi::copy_context(py)?, error)
    })
}
