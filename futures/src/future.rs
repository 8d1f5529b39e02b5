//! What Python can await, awaited by Rust.

use std::sync::Arc;

use event_listener::Event;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::cancel::CancelOnDrop;
use crate::notifier::Notifier;

/// `asyncio.ensure_future(awaitable)`, for Rust to await: a coroutine begins as a task at once.
/// Dropped before it is done, what is awaited is cancelled.
///
/// # Errors
///
/// Those of `asyncio.ensure_future`: `TypeError` for what cannot be awaited, `RuntimeError` where
/// no loop is running. Awaited, those of the awaitable; `CancelledError` if it is cancelled.
pub fn ensure_future(
    awaitable: &Bound<'_, PyAny>,
) -> PyResult<impl Future<Output = PyResult<Py<PyAny>>> + use<>> {
    static ENSURE_FUTURE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = awaitable.py();
    let future = ENSURE_FUTURE.import(py, "asyncio", "ensure_future")?.call1((awaitable,))?;
    let event = Arc::new(Event::new());
    let done = event.listen();
    future.call_method1(intern!(py, "add_done_callback"), (Notifier(event),))?;
    let awaited = CancelOnDrop(future.unbind());
    Ok(async move {
        done.await;
        Python::attach(|py| awaited.0.call_method0(py, intern!(py, "result")))
    })
}
