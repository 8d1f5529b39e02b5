//! `contextvars.Context` objects, and entering one around a call.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;

/// A copy of the current context (`contextvars.copy_context()`).
#[inline]
pub(crate) fn copy_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: needs only the GIL.
    let copy = unsafe { ffi::PyContext_CopyCurrent() };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, copy) }
}

/// Whether a context has no variables and no other reference: another empty one does as well.
pub(crate) fn is_unseen_and_empty(context: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a valid object.
    let references = unsafe { ffi::Py_REFCNT(context.as_ptr()) };
    references == 1 && context.len().is_ok_and(|variables| variables == 0)
}

/// A context without variables (`contextvars.Context()`).
pub(crate) fn empty_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: needs only the GIL.
    let context = unsafe { ffi::PyContext_New() };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, context) }
}

/// A copy of `context`.
pub(crate) fn copy_of_context<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a valid object; anything but a Context is refused with a TypeError.
    let copy = unsafe { ffi::PyContext_Copy(context.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), copy) }
}

/// Calls `body` inside `context`, as `Context.run` does.
#[inline]
pub(crate) fn in_context<R>(
    context: &Bound<'_, PyAny>,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    // SAFETY: a valid object; anything but a Context, or an entered one, is refused with an exception.
    check(context.py(), unsafe { ffi::PyContext_Enter(context.as_ptr()) })?;
    let result = body();
    // SAFETY: the context entered above.
    check(context.py(), unsafe { ffi::PyContext_Exit(context.as_ptr()) })?;
    result
}

fn check(py: Python<'_>, status: c_int) -> PyResult<()> {
    if status < 0 { Err(PyErr::fetch(py)) } else { Ok(()) }
}
