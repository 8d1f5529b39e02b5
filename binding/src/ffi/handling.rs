//! Being in an `except` clause.

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::prelude::*;

/// Does something as if in the `except` clause for `error`: `sys.exc_info()` tells of it, and what
/// is raised has it for its context.
pub(crate) fn handling<T>(error: &Bound<'_, PyBaseException>, body: impl FnOnce() -> T) -> T {
    // SAFETY: attached; a new reference or null.
    let outer = unsafe { ffi::PyErr_GetHandledException() };
    // SAFETY: an exception, to which it makes a reference of its own.
    unsafe { ffi::PyErr_SetHandledException(error.as_ptr()) };
    let result = body();
    // SAFETY: what it was before; null is none.
    unsafe { ffi::PyErr_SetHandledException(outer) };
    // SAFETY: our own reference, or null.
    unsafe { ffi::Py_XDECREF(outer) };
    result
}
