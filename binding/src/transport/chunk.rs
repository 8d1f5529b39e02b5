//! `Chunk`: what `write` was given, safe from later changes by the caller (S16.15).

use pyo3::exceptions::{PyAssertionError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

/// Exact `bytes` held by reference; anything else copied once, also what derives from `bytes` and
/// may have a finalizer: no Python code runs when a chunk is dropped.
pub(crate) type Chunk = PyBackedBytes;

/// Errors: asyncio's TypeError for anything but bytes, bytearray and memoryview.
#[inline]
pub(crate) fn from_object(data: &Bound<'_, PyAny>) -> PyResult<Chunk> {
    match take(data)? {
        Some(chunk) => Ok(chunk),
        None => Err(wrong_type(data)?),
    }
}

/// Errors: AssertionError for anything else, as asyncio's write pipes have it (S31.7).
pub(super) fn for_pipe(data: &Bound<'_, PyAny>) -> PyResult<Chunk> {
    match take(data)? {
        Some(chunk) => Ok(chunk),
        None => Err(PyAssertionError::new_err(data.repr()?.unbind())),
    }
}

/// Errors: TypeError in the words that `sendto` has kept (S27.4).
#[inline(always)]
#[expect(clippy::inline_always, reason = "of two callers `sendto` is the hot one")]
pub(super) fn for_datagram(data: &Bound<'_, PyAny>) -> PyResult<Chunk> {
    match take(data)? {
        Some(chunk) => Ok(chunk),
        None => Err(not_bytes(data, "a bytes-like object")?),
    }
}

/// Errors: TypeError in the words of asyncio's TLS.
#[inline]
pub(crate) fn for_tls(data: &Bound<'_, PyAny>) -> PyResult<Chunk> {
    let Some(chunk) = take(data)? else {
        let text =
            format!("data: expecting a bytes-like instance, got {}", data.get_type().name()?);
        return Err(PyTypeError::new_err(text));
    };
    Ok(chunk)
}

/// What `writelines` was given, which may be whatever has a buffer.
///
/// Errors: TypeError for what has none.
pub(crate) fn each_of(list_of_data: &Bound<'_, PyAny>) -> PyResult<Vec<Chunk>> {
    list_of_data.try_iter()?.map(|data| of_buffer(&data?)).collect()
}

/// Errors: TypeError for what has no buffer.
pub(super) fn of_buffer(data: &Bound<'_, PyAny>) -> PyResult<Chunk> {
    match take(data)? {
        Some(chunk) => Ok(chunk),
        None => copy(data),
    }
}

#[inline]
fn take(data: &Bound<'_, PyAny>) -> PyResult<Option<Chunk>> {
    if let Ok(bytes) = data.cast_exact::<PyBytes>() {
        return Ok(Some(bytes.clone().into()));
    }
    let known = data.is_instance_of::<PyBytes>()
        || data.is_instance_of::<PyByteArray>()
        || data.is_instance_of::<PyMemoryView>();
    if known { copy(data).map(Some) } else { Ok(None) }
}

/// The bytes of a buffer, whatever its items are (S16.16).
///
/// Python makes them, so that no memory for them is a MemoryError. It is asked by a memoryview:
/// a class derived from `bytes` may have a `__bytes__`, which is not what is written.
fn copy(data: &Bound<'_, PyAny>) -> PyResult<Chunk> {
    let bytes = data.py().get_type::<PyBytes>().call1((PyMemoryView::from(data)?,))?;
    Ok(bytes.cast_into::<PyBytes>()?.into())
}

/// The text changed in Python 3.14 (S16.11).
#[cold]
fn wrong_type(data: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let wanted = if data.py().version_info() >= (3, 14) {
        "a bytes, bytearray, or memoryview object"
    } else {
        "a bytes-like object"
    };
    not_bytes(data, wanted)
}

#[cold]
fn not_bytes(data: &Bound<'_, PyAny>, wanted: &str) -> PyResult<PyErr> {
    let name = data.get_type().name()?;
    Ok(PyTypeError::new_err(format!("data argument must be {wanted}, not {}", name.repr()?)))
}
