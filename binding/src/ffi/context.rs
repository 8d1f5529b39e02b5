//! `contextvars.Context` objects, and entering one around a call.

use std::cell::Cell;
use std::ffi::c_int;

use pyo3::exceptions::{PyRecursionError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;

/// A copy of the current context (`contextvars.copy_context()`).
#[inline]
pub(crate) fn copy_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: needs only an attached thread.
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
    // SAFETY: needs only an attached thread.
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

/// How many nested runs a thread may have. Each takes 4 KiB of its stack at least, and the caller's
/// frames theirs: this many leave most of the usual 8 MiB to those. Python's recursion limit comes
/// first unless a program has raised it, and before 3.14 nothing else would keep the stack from
/// overflowing then.
const MOST_NESTINGS: u32 = 500;

thread_local!(static NESTINGS: Cell<u32> = const { Cell::new(0) });

/// A nested run of this thread. Until it is over, contexts stay entered by code that waits for it.
pub(crate) struct Nesting(());

impl Nesting {
    /// Errors: RecursionError if there are too many.
    pub(crate) fn begin() -> PyResult<Self> {
        let count = NESTINGS.get();
        if count >= MOST_NESTINGS {
            return Err(PyRecursionError::new_err("maximum depth of nested runs exceeded"));
        }
        NESTINGS.set(count + 1);
        Ok(Self(()))
    }
}

impl Drop for Nesting {
    fn drop(&mut self) {
        NESTINGS.set(NESTINGS.get() - 1);
    }
}

/// Calls `body` inside `context`, as `Context.run` does. In a nested run, where `context` may be
/// entered already, it is inside a copy then: what is called must not be lost.
#[inline]
pub(crate) fn in_context<R>(
    context: &Bound<'_, PyAny>,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    // SAFETY: a valid object; anything but a Context, or an entered one, is refused with an
    // exception.
    match check(context.py(), unsafe { ffi::PyContext_Enter(context.as_ptr()) }) {
        Ok(()) => {}
        Err(error) => return in_copy(context, error, body),
    }
    let result = body();
    // SAFETY: the context entered above.
    check(context.py(), unsafe { ffi::PyContext_Exit(context.as_ptr()) })?;
    result
}

#[cold]
fn in_copy<R>(
    context: &Bound<'_, PyAny>,
    error: PyErr,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    if NESTINGS.get() == 0 || !error.is_instance_of::<PyRuntimeError>(context.py()) {
        return Err(error);
    }
    let copy = copy_of_context(context)?;
    // SAFETY: a context that nobody else has.
    check(context.py(), unsafe { ffi::PyContext_Enter(copy.as_ptr()) })?;
    let result = body();
    // SAFETY: the context entered above.
    check(context.py(), unsafe { ffi::PyContext_Exit(copy.as_ptr()) })?;
    result
}

fn check(py: Python<'_>, status: c_int) -> PyResult<()> {
    if status < 0 { Err(PyErr::fetch(py)) } else { Ok(()) }
}
