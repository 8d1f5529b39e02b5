//! All raw C-API of the binding: calling conventions that PyO3 does not offer.
//!
//! * `FastMethod`: methods with `METH_FASTCALL | METH_KEYWORDS`, which get their arguments as a
//!   slice; PyO3's `*args` builds a tuple for every call.
//! * `context`: `contextvars.Context` objects, and entering one around a call.
//! * `recycle`: objects made and dropped by the million.
//! * `with_writable_buffer`: a protocol's buffer as a slice.
//! * `bytes_of` and `bytes_of_at_most`: an exact `bytes` for which there may be no memory; of the second
//!   one the length is known when it is filled.
//! * `handling`: being in an `except` clause.

#![allow(unsafe_code, reason = "one of the binding's addresses for unsafe")]

mod context;
mod recycle;

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::{ptr, slice};

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBaseException, PyBufferError, PySystemError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple, PyType};
use pyo3::{Borrowed, PyTypeInfo, ffi};

pub(crate) use context::{
    copy_context, copy_of_context, empty_context, in_context, is_unseen_and_empty,
};
pub(crate) use recycle::{Recycle, Spares, add_recycling, let_go, make, make_lasting, reveal};

unsafe extern "C" {
    // Of the documented C-API, but not in PyO3.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> c_int;
}

/// The arguments of one vectorcall: positional ones first, then the values of the keywords.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a, 'py> {
    py: Python<'py>,
    /// Both of the following.
    all: &'a [*mut ffi::PyObject],
    positional: &'a [*mut ffi::PyObject],
    keyword_values: &'a [*mut ffi::PyObject],
    keyword_names: Option<Borrowed<'a, 'py, PyTuple>>,
}

/// A call has keywords besides the expected one.
pub(crate) struct OtherKeywords;

impl<'a, 'py> Arguments<'a, 'py> {
    #[inline]
    pub(crate) fn py(&self) -> Python<'py> {
        self.py
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.positional.len()
    }

    #[inline]
    pub(crate) fn is_positional(&self) -> bool {
        self.keyword_values.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<Borrowed<'a, 'py, PyAny>> {
        self.positional.get(index).map(|&object| self.borrowed(object))
    }

    /// The positional arguments from `start` on.
    #[inline]
    pub(crate) fn rest(
        &self,
        start: usize,
    ) -> impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>> {
        let this = *self;
        self.positional.iter().skip(start).map(move |&object| this.borrowed(object))
    }

    /// The value of `name`, which no other keyword may accompany. `name` is interned, and so are
    /// the names in calls from Python; those that C code made need a comparison. asyncio's tasks
    /// make theirs once for all calls: the first such tuple is kept and known again by its address.
    #[inline]
    pub(crate) fn only_keyword(
        &self,
        name: &Bound<'py, PyString>,
    ) -> Result<Option<Borrowed<'a, 'py, PyAny>>, OtherKeywords> {
        let Some(names) = self.keyword_names else { return Ok(None) };
        let &[value] = self.keyword_values else {
            return if self.keyword_values.is_empty() { Ok(None) } else { Err(OtherKeywords) };
        };
        match names.get_borrowed_item(0) {
            Ok(given) if given.is(name) || is_known(names, given, name) => {
                Ok(Some(self.borrowed(value)))
            }
            _ => Err(OtherKeywords),
        }
    }

    /// The keywords with their values.
    #[inline]
    pub(crate) fn keywords(
        &self,
    ) -> impl Iterator<Item = (Bound<'py, PyString>, Borrowed<'a, 'py, PyAny>)> {
        let this = *self;
        let names = self.keyword_names.into_iter().flat_map(|names| names.to_owned().into_iter());
        names
            .filter_map(|name| name.cast_into::<PyString>().ok())
            .zip(self.keyword_values)
            .map(move |(name, &value)| (name, this.borrowed(value)))
    }

    /// Hands the call on.
    pub(crate) fn call(&self, callable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let names = self.keyword_names.map_or(ptr::null_mut(), Borrowed::as_ptr);
        let (first, count) = (self.all.as_ptr(), self.positional.len());
        // SAFETY: the very arguments of the vectorcall that is under way, keywords behind the rest.
        let result = unsafe { ffi::PyObject_Vectorcall(callable.as_ptr(), first, count, names) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(self.py, result) }
    }

    #[inline]
    fn borrowed(&self, object: *mut ffi::PyObject) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: the caller of a vectorcall keeps its arguments alive for the call, hence for 'a,
        // and they are never null.
        unsafe { Borrowed::from_ptr(self.py, object) }
    }
}

/// Whether `names` holds nothing but `given`, which is the same text as `name`.
fn is_known(
    names: Borrowed<'_, '_, PyTuple>,
    given: Borrowed<'_, '_, PyAny>,
    name: &Bound<'_, PyString>,
) -> bool {
    static KNOWN: PyOnceLock<(Py<PyTuple>, Py<PyString>)> = PyOnceLock::new();
    let py = names.py();
    if let Some((tuple, text)) = KNOWN.get(py)
        && tuple.is(&*names)
        && text.is(name)
    {
        return true;
    }
    let known = is_text(given, name);
    if known {
        let _ = KNOWN.set(py, (names.to_owned().unbind(), name.clone().unbind()));
    }
    known
}

/// Whether `given` is the same text. Both are ASCII, whose UTF-8 is the string's own memory.
fn is_text(given: Borrowed<'_, '_, PyAny>, name: &Bound<'_, PyString>) -> bool {
    let given = given.cast::<PyString>();
    given.is_ok_and(|given| given.to_str().ok() == name.to_str().ok())
}

/// A method of `Class` called with its arguments as a slice.
///
/// PyO3 is not told that the thread is attached, which for a thread of Python's own takes as long as
/// the rest of the call. So what `call` drops must be a `Bound`: a `Py` would be put off.
pub(crate) trait FastMethod {
    type Class: PyTypeInfo;
    const NAME: &'static str;
    /// The name again, for C.
    const C_NAME: &'static CStr;
    const DOC: &'static CStr;
    fn call<'py>(
        this: &Bound<'py, Self::Class>,
        arguments: Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>>;
}

/// Puts `M` into its class, beside the methods PyO3 put there.
pub(crate) fn add_method<M: FastMethod>(class: &Bound<'_, PyType>) -> PyResult<()> {
    // A method definition is referred to by the descriptor for ever; there is one per process.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: M::C_NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: entry::<M> },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: M::DOC.as_ptr(),
    }));
    // SAFETY: both pointers are valid; the class is that of the `self` that `entry` will get.
    let descriptor = unsafe { ffi::PyDescr_NewMethod(class.as_type_ptr(), definition) };
    // SAFETY: a new reference, or null with an exception set.
    let descriptor = unsafe { Bound::from_owned_ptr_or_err(class.py(), descriptor) }?;
    class.setattr(M::NAME, descriptor)
}

/// The C function behind a [`FastMethod`].
unsafe extern "C" fn entry<M: FastMethod>(
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keyword_names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls its methods with the GIL held.
    let py = unsafe { Python::assume_attached() };
    guard(py, |py| {
        // SAFETY: the caller keeps `this` alive for the call, and it is not null.
        let this = unsafe { Borrowed::from_ptr(py, this) };
        // SAFETY: the method descriptor has checked that it is an instance of its class.
        let this = unsafe { this.cast_unchecked::<M::Class>() };
        // SAFETY: null or a tuple that lives as long as the call.
        let names = unsafe { Borrowed::from_ptr_or_opt(py, keyword_names) };
        // SAFETY: the vectorcall protocol passes a tuple here.
        let names = names.map(|names| unsafe { names.cast_unchecked::<PyTuple>() });
        let keywords = names.map_or(0, |names| names.len());
        let positional = usize::try_from(count).unwrap_or(0);
        let all: &[*mut ffi::PyObject] = if arguments.is_null() {
            &[]
        } else {
            // SAFETY: the caller passes `count` positional arguments and one for each keyword.
            unsafe { slice::from_raw_parts(arguments, positional + keywords) }
        };
        let (positional, keyword_values) = all.split_at(positional.min(all.len()));
        let arguments = Arguments { py, all, positional, keyword_values, keyword_names: names };
        M::call(&this, arguments).map(Bound::into_ptr)
    })
}

/// Turns an error into a raised exception, and a panic into a `SystemError`: neither may cross C.
fn guard(
    py: Python<'_>,
    call: impl FnOnce(Python<'_>) -> PyResult<*mut ffi::PyObject>,
) -> *mut ffi::PyObject {
    let outcome = catch_unwind(AssertUnwindSafe(|| call(py)))
        .unwrap_or_else(|_| Err(PySystemError::new_err("ferroloop panicked; please report this")));
    outcome.unwrap_or_else(|error| {
        error.restore(py);
        ptr::null_mut()
    })
}

/// A class that must be told before its instances die (`__del__`), which PyO3 does not offer.
pub(crate) trait Finalize: PyTypeInfo {
    fn finalize(this: &Bound<'_, Self>) -> PyResult<()>;
    /// Where the class keeps the `tp_dealloc` that PyO3 gave it.
    fn dealloc() -> &'static OnceLock<ffi::destructor>;
}

/// Gives the class a `tp_finalize`, and a `tp_dealloc` that calls it first, as the classes of
/// Python have them (`PyObject_CallFinalizerFromDealloc`).
pub(crate) fn add_finalizer<T: Finalize>(py: Python<'_>) {
    let class = T::type_object(py).as_type_ptr();
    // SAFETY: PyO3 has made and readied the type; no instance of it exists yet.
    let slots = unsafe { &mut *class };
    if let Some(dealloc) = slots.tp_dealloc {
        T::dealloc().get_or_init(|| dealloc);
        slots.tp_dealloc = Some(dealloc_entry::<T>);
        slots.tp_finalize = Some(finalize_entry::<T>);
    }
}

unsafe extern "C" fn dealloc_entry<T: Finalize>(object: *mut ffi::PyObject) {
    // SAFETY: called by the last decref, with the GIL held.
    if unsafe { ffi::PyObject_CallFinalizerFromDealloc(object) } < 0 {
        return; // resurrected
    }
    if let Some(dealloc) = T::dealloc().get() {
        // SAFETY: the very function this one stands in for.
        unsafe { dealloc(object) };
    }
}

unsafe extern "C" fn finalize_entry<T: Finalize>(object: *mut ffi::PyObject) {
    let finalize = |py: Python<'_>| {
        // A finalizer must leave an exception that is on its way alone.
        let pending = PyErr::take(py);
        // SAFETY: whoever finalizes an object keeps it alive meanwhile.
        let this = unsafe { Borrowed::from_ptr(py, object) };
        // SAFETY: `tp_finalize` of the class is called with an instance of it.
        let this = unsafe { this.cast_unchecked::<T>() };
        guard(py, |_| {
            if let Err(error) = T::finalize(&this) {
                error.write_unraisable(py, Some(this.as_any()));
            }
            Ok(ptr::null_mut())
        });
        if let Some(pending) = pending {
            pending.restore(py);
        }
    };
    // SAFETY: Python finalizes with the GIL held; `attach` itself would refuse while the interpreter
    // ends.
    unsafe { Python::attach_unchecked(finalize) }
}

/// Does something as if in the `except` clause for `error`: `sys.exc_info()` tells of it, and what is
/// raised has it for its context.
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

/// Shows the memory of a writable buffer to `fill`.
///
/// Errors: BufferError or TypeError if `object` gives no writable contiguous buffer.
pub(crate) fn with_writable_buffer<R>(
    object: &Bound<'_, PyAny>,
    fill: impl FnOnce(&mut [u8]) -> R,
) -> PyResult<R> {
    let buffer = PyUntypedBuffer::get(object)?;
    if buffer.readonly() || !buffer.is_c_contiguous() {
        return Err(PyBufferError::new_err("the buffer is not writable and contiguous"));
    }
    let (start, length) = (buffer.buf_ptr().cast::<u8>(), buffer.len_bytes());
    if length == 0 {
        return Ok(fill(&mut []));
    }
    // SAFETY: the export pins the memory and its size until `buffer` is dropped, it is writable,
    // and no Python code runs while the slice lives, so nobody else touches it.
    Ok(fill(unsafe { slice::from_raw_parts_mut(start, length) }))
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
