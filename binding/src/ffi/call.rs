//! Calling callbacks and protocols: code of the program's, which may run for long.
//!
//! Before Python 3.14 a daemon thread that runs such code when the interpreter ends is ended by
//! `pthread_exit`, which unwinds its stack by force. No Rust frame may be unwound then: what it drops
//! would be Python's business, without the GIL. So the thread stays for ever in the first frame that
//! the unwinding reaches, as `parking` has it stay where a loop is detached.

use std::hint::black_box;
use std::mem::{forget, transmute};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::parking::park_for_ever;

/// The most arguments besides the object itself.
const MOST: usize = 3;

/// What PyO3 declares as unable to unwind.
type Vectorcall = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    usize,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// Calls `callable` with a few arguments.
#[inline]
pub(crate) fn call<'py, const COUNT: usize>(
    callable: &Bound<'py, PyAny>,
    args: [&Py<PyAny>; COUNT],
) -> PyResult<Bound<'py, PyAny>> {
    const { assert!(COUNT <= MOST) };
    // The first place is for Python to put an object in.
    let mut slots = [ptr::null_mut(); 1 + MOST];
    slots.iter_mut().skip(1).zip(args).for_each(|(slot, arg)| *slot = arg.as_ptr());
    let count = COUNT | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    // SAFETY: a function of these arguments, which may unwind in truth.
    let vectorcall =
        unsafe { transmute::<*const (), Vectorcall>(ffi::PyObject_Vectorcall as *const ()) };
    let first = slots.get(1..).unwrap_or_default().as_ptr();
    // SAFETY: the place before the first argument is ours, and the arguments live as long as the call.
    let result = staying(|| unsafe {
        black_box(vectorcall)(callable.as_ptr(), first, count, ptr::null_mut())
    });
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), result) }
}

/// Calls `callable` with a tuple of arguments.
pub(crate) fn call_with<'py>(
    callable: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    type Call = unsafe extern "C-unwind" fn(
        *mut ffi::PyObject,
        *mut ffi::PyObject,
        *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
    // SAFETY: a function of these arguments, which may unwind in truth.
    let call = unsafe { transmute::<*const (), Call>(ffi::PyObject_Call as *const ()) };
    // SAFETY: an object, and a tuple that lives as long as the call.
    let result =
        staying(|| unsafe { black_box(call)(callable.as_ptr(), args.as_ptr(), ptr::null_mut()) });
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), result) }
}

/// Calls a method with a few arguments.
#[inline]
pub(crate) fn call_method<'py, const COUNT: usize>(
    object: &Bound<'py, PyAny>,
    method: &Bound<'py, PyString>,
    args: [&Bound<'py, PyAny>; COUNT],
) -> PyResult<Bound<'py, PyAny>> {
    const { assert!(COUNT <= MOST) };
    let mut slots = [ptr::null_mut(); 2 + MOST];
    let places = slots.iter_mut().skip(1);
    places.zip([object].into_iter().chain(args)).for_each(|(slot, arg)| *slot = arg.as_ptr());
    let count = (1 + COUNT) | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    // SAFETY: a function of these arguments, which may unwind in truth.
    let vectorcall =
        unsafe { transmute::<*const (), Vectorcall>(ffi::PyObject_VectorcallMethod as *const ()) };
    let first = slots.get(1..).unwrap_or_default().as_ptr();
    // SAFETY: the place before the object is ours, and all live as long as the call.
    let result = staying(|| unsafe {
        black_box(vectorcall)(method.as_ptr(), first, count, ptr::null_mut())
    });
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(object.py(), result) }
}

/// Makes a call that ends in its thread's staying, should it be unwound.
#[inline]
fn staying<T>(call: impl FnOnce() -> T) -> T {
    let stays = Stays;
    let result = call();
    forget(stays);
    result
}

struct Stays;

impl Drop for Stays {
    #[cold]
    fn drop(&mut self) {
        park_for_ever();
    }
}
