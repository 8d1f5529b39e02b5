//! Finalizers (`__del__`), which PyO3 does not offer, and how a class gets a `tp_dealloc` of ours.

use std::ptr;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::{Borrowed, PyTypeInfo, ffi};

use super::method::catch;

/// A class that must be told before its instances die.
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
    unsafe { (*class).tp_finalize = Some(finalize_entry::<T>) };
    replace_dealloc::<T>(py, T::dealloc(), dealloc_entry::<T>);
}

/// Puts `entry` in the place of the `tp_dealloc` that PyO3 gave the class, which goes to `former`.
pub(super) fn replace_dealloc<T: PyTypeInfo>(
    py: Python<'_>,
    former: &OnceLock<ffi::destructor>,
    entry: ffi::destructor,
) {
    let class = T::type_object(py).as_type_ptr();
    // SAFETY: PyO3 has made and readied the type; no instance of it exists yet.
    let slots = unsafe { &mut *class };
    if let Some(dealloc) = slots.tp_dealloc.replace(entry) {
        former.get_or_init(|| dealloc);
    }
}

unsafe extern "C" fn dealloc_entry<T: Finalize>(object: *mut ffi::PyObject) {
    // SAFETY: called by the last decref, in an attached thread.
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
        let _pending = Pending::put_aside(py);
        // SAFETY: whoever finalizes an object keeps it alive meanwhile.
        let this = unsafe { Borrowed::from_ptr(py, object) };
        // SAFETY: `tp_finalize` of the class is called with an instance of it.
        let this = unsafe { this.cast_unchecked::<T>() };
        if let Err(error) = catch(|| T::finalize(&this)) {
            error.write_unraisable(py, Some(this.as_any()));
        }
    };
    // SAFETY: Python finalizes in an attached thread; `attach` itself would refuse while the
    // interpreter ends.
    unsafe { Python::attach_unchecked(finalize) }
}

/// The exception that is on its way, which a finalizer must leave alone. PyO3 would go on with the
/// panic that one may stand for.
struct Pending([*mut ffi::PyObject; 3]);

impl Pending {
    #[allow(deprecated, reason = "its successor came with Python 3.12")]
    fn put_aside(_py: Python<'_>) -> Self {
        let [mut class, mut value, mut traceback] = [ptr::null_mut(); 3];
        // SAFETY: attached; gives three references, or nulls.
        unsafe { ffi::PyErr_Fetch(&raw mut class, &raw mut value, &raw mut traceback) };
        Self([class, value, traceback])
    }
}

impl Drop for Pending {
    #[allow(deprecated, reason = "as above")]
    fn drop(&mut self) {
        let [class, value, traceback] = self.0;
        // SAFETY: still attached; takes the references over.
        unsafe { ffi::PyErr_Restore(class, value, traceback) };
    }
}
