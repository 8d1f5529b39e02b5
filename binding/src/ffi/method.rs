//! Methods with `METH_FASTCALL | METH_KEYWORDS`, which get their arguments as a slice: PyO3's
//! `*args` builds a tuple for every call.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{ptr, slice};

use pyo3::exceptions::PySystemError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple, PyType};
use pyo3::{Borrowed, PyTypeInfo, ffi};

use super::call::vectorcall;

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
        let function = ffi::PyObject_Vectorcall;
        // SAFETY: the very arguments of the vectorcall that is under way, keywords behind the rest.
        unsafe { vectorcall(self.py, function, callable.as_ptr(), first, count, names) }
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
        // Only the first is kept.
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
/// PyO3 is not told that the thread is attached; that would cost as much as the rest of the call.
/// So `call` must drop `Bound`s only: PyO3 would defer the drop of a `Py`.
pub(crate) trait FastMethod {
    type Class: PyTypeInfo;
    const C_NAME: &'static CStr;
    /// `C_NAME` as a text.
    const NAME: &'static str = match Self::C_NAME.to_str() {
        Ok(name) => name,
        Err(_) => panic!("names of methods are ASCII"),
    };
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
    // SAFETY: Python calls its methods in attached threads.
    let py = unsafe { Python::assume_attached() };
    let outcome = catch(|| {
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
    });
    outcome.unwrap_or_else(|error| {
        error.restore(py);
        ptr::null_mut()
    })
}

/// Turns a panic into a `SystemError`: it may not cross C.
pub(super) fn catch<T>(call: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(PySystemError::new_err("ferroloop panicked; please report this")))
}
