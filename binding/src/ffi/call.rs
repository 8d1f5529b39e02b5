//! Calling callbacks, factories, handlers and protocols: code of the program's, which may run for
//! long.
//!
//! Before Python 3.14 a daemon thread that runs such code when the interpreter ends is ended by
//! `pthread_exit`, which unwinds its stack by force. No Rust frame may be unwound then: what it
//! drops would be Python's business, without the GIL. So the thread stays for ever in the first
//! frame that the unwinding reaches, as `parking` has it stay where a loop is detached.

use std::hint::black_box;
use std::mem::{forget, transmute};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::parking::park_for_ever;

/// The most arguments besides the object itself.
const MOST: usize = 3;

/// The slot before the first argument is Python's to use.
const SLOT_BEFORE: usize = ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;

/// What PyO3 declares as unable to unwind, ...
type Declared = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    usize,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// ... and what it is.
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
    let mut slots = [ptr::null_mut(); 1 + MOST];
    slots.iter_mut().skip(1).zip(args).for_each(|(slot, arg)| *slot = arg.as_ptr());
    let (py, function, names) = (callable.py(), ffi::PyObject_Vectorcall, ptr::null_mut());
    let (first, count) = (slots.as_mut_ptr().wrapping_add(1), COUNT | SLOT_BEFORE);
    // SAFETY: an object, and that many arguments after a free slot, which live as long as the call.
    unsafe { vectorcall(py, function, callable.as_ptr(), first, count, names) }
}

/// Calls `callable` with one argument and a dict of keywords.
#[inline]
pub(crate) fn call_with_keywords<'py>(
    callable: &Bound<'py, PyAny>,
    arg: &Bound<'py, PyAny>,
    keywords: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut slots = [ptr::null_mut(), arg.as_ptr()];
    let (py, function) = (callable.py(), ffi::PyObject_VectorcallDict);
    let (first, count) = (slots.as_mut_ptr().wrapping_add(1), 1 | SLOT_BEFORE);
    // SAFETY: an object, an argument after a free slot, and a dict; all live as long as the call.
    unsafe { vectorcall(py, function, callable.as_ptr(), first, count, keywords.as_ptr()) }
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
    let (py, function, names) = (object.py(), ffi::PyObject_VectorcallMethod, ptr::null_mut());
    let (first, count) = (slots.as_mut_ptr().wrapping_add(1), (1 + COUNT) | SLOT_BEFORE);
    // SAFETY: a name, and the object with that many arguments after a free slot, which live as long
    // as the call.
    unsafe { vectorcall(py, function, method.as_ptr(), first, count, names) }
}

/// # Safety
/// An object that `function` may be asked for; from `first` on as many objects as `count` tells,
/// and if it has the bit, a slot before them that Python may use; keywords as `function` takes
/// them, or null.
#[inline]
pub(super) unsafe fn vectorcall(
    py: Python<'_>,
    function: Declared,
    callee: *mut ffi::PyObject,
    first: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the same function, but for what it may do besides.
    let function = black_box(unsafe { transmute::<Declared, Vectorcall>(function) });
    // SAFETY: as the caller says.
    let result = staying(|| unsafe { function(callee, first, count, keywords) });
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, result) }
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
