//! The number behind what a user calls a file descriptor: an int, or an object with `fileno()`
//! (S7.1).

use std::fmt::Display;
use std::os::fd::RawFd;

use pyo3::exceptions::{PyAttributeError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyInt;

/// The descriptor behind `object`.
///
/// Errors: ValueError for what is none, OverflowError for an int too large to be one.
pub(super) fn descriptor(object: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    match number_of(object)? {
        None => Err(PyOverflowError::new_err("Python int too large to convert to C int")),
        Some(fd) if fd >= 0 => Ok(fd),
        Some(fd) => Err(not_a_descriptor(fd)),
    }
}

/// The number behind `object`: a descriptor, or a negative number as closed sockets have it. None
/// is one too large for an int of C.
pub(super) fn number_of(object: &Bound<'_, PyAny>) -> PyResult<Option<RawFd>> {
    let py = object.py();
    let number = if object.is_instance_of::<PyInt>() {
        object.clone()
    } else {
        match object.call_method0(intern!(py, "fileno")) {
            Ok(number) => number,
            Err(error) if is_no_file(py, &error) => return Err(not_a_file(object)?),
            Err(error) => return Err(error),
        }
    };
    match number.extract() {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if !error.is_instance_of::<PyOverflowError>(py) => Err(not_a_file(object)?),
        Err(_) if number.lt(0)? => Err(not_a_descriptor(number)),
        Err(_) => Ok(None),
    }
}

/// Whether `fileno()` failed because there is none. Any other error is its own.
fn is_no_file(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyAttributeError>(py)
        || error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyValueError>(py)
}

pub(super) fn not_a_descriptor(number: impl Display) -> PyErr {
    PyValueError::new_err(format!("Invalid file descriptor: {number}"))
}

fn not_a_file(object: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    Ok(PyValueError::new_err(format!("Invalid file object: {}", object.repr()?)))
}
