//! Memory that Python and Rust both see: a protocol's buffer, and new `bytes`.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::{ptr, slice};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

unsafe extern "C" {
    // Of the documented C-API, but not in PyO3.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> c_int;
}

/// Shows the memory of a writable buffer to `fill`, which must not call Python.
///
/// Errors: BufferError or TypeError if `object` gives no writable contiguous buffer.
pub(crate) fn with_writable_buffer<R>(
    object: &Bound<'_, PyAny>,
    fill: impl FnOnce(&mut [u8]) -> R,
) -> PyResult<R> {
    let mut view = MaybeUninit::uninit();
    // As Python's own functions ask for one (`w*`): contiguous, and without a shape, which ctypes
    // does not tell PyO3 as it likes to hear it.
    // SAFETY: fills the view in, and pins the memory and its size until the view is released.
    let status =
        unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_WRITABLE) };
    if status < 0 {
        return Err(PyErr::fetch(object.py()));
    }
    // SAFETY: filled in.
    let export = Export(unsafe { view.assume_init_mut() });
    let (start, length) = (export.0.buf.cast::<u8>(), export.0.len.cast_unsigned());
    if length == 0 {
        return Ok(fill(&mut []));
    }
    // SAFETY: pinned and writable; `fill` calls no Python while the slice lives, so nobody else
    // touches it.
    Ok(fill(unsafe { slice::from_raw_parts_mut(start, length) }))
}

/// A view of an object's memory, released when it is dropped, and not moved until then.
struct Export<'a>(&'a mut ffi::Py_buffer);

impl Drop for Export<'_> {
    fn drop(&mut self) {
        // SAFETY: of a view that was filled in, once.
        unsafe { ffi::PyBuffer_Release(self.0) };
    }
}

/// A `bytes` of `data`.
///
/// Errors: MemoryError.
#[inline]
pub(crate) fn bytes_of<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: as many bytes as that, which are copied; a slice is never longer than `isize` tells.
    let object =
        unsafe { ffi::PyBytes_FromStringAndSize(data.as_ptr().cast(), data.len().cast_signed()) };
    // SAFETY: a new reference, or null with an exception set.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: what makes bytes makes exact ones.
    Ok(unsafe { object.cast_into_unchecked() })
}

/// A `bytes` of what `fill` writes into new memory of that many bytes; it answers with the length.
///
/// Errors: MemoryError; OverflowError for what no memory could hold.
pub(crate) fn bytes_of_at_most(
    py: Python<'_>,
    capacity: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> usize,
) -> PyResult<Bound<'_, PyBytes>> {
    let size = ffi::Py_ssize_t::try_from(capacity)?;
    // SAFETY: null stands for memory that is filled later.
    let mut object = unsafe { ffi::PyBytes_FromStringAndSize(ptr::null(), size) };
    if object.is_null() {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: a bytes object.
    let start = unsafe { ffi::PyBytes_AsString(object) };
    // SAFETY: the memory of a new object, which nobody else has seen, and its size.
    let room = unsafe { slice::from_raw_parts_mut(start.cast::<MaybeUninit<u8>>(), capacity) };
    let length = fill(room).min(capacity);
    if length < capacity {
        // SAFETY: the only reference, and no more than the size; null and an exception if it fails.
        unsafe { _PyBytes_Resize(&raw mut object, length.cast_signed()) };
    }
    // SAFETY: a new reference, or null with an exception set.
    let bytes = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
    // SAFETY: made above.
    Ok(unsafe { bytes.cast_into_unchecked() })
}
