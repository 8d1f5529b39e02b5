//! Objects that live for one turn of the loop: their memory is kept for the next ones.
//!
//! A callback's handle is made, run and dropped a million times a second. Its allocation goes
//! through `tp_alloc`, which is ours and takes what an earlier handle left; its end goes through
//! `tp_dealloc`, ours too, which does what PyO3's does without its trampolines.

use std::ptr;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::{Borrowed, PyClass, ffi};

use crate::cell::LoopCell;

/// A class whose instances are made anew from old ones. Subclasses of it are not.
pub(crate) trait Recycle: PyClass<Frozen = True> + Sync {
    fn spares() -> &'static Spares;
}

/// The memory of dead instances, and how PyO3 ends those that are of a subclass.
pub(crate) struct Spares {
    memory: LoopCell<Vec<Spare>>,
    dealloc: OnceLock<ffi::destructor>,
}

/// An object without a type, a value or a reference.
struct Spare(*mut ffi::PyObject);

// SAFETY: nobody else knows the address, and an allocation belongs to no thread.
unsafe impl Send for Spare {}

impl Spares {
    /// A turn of a thousand callbacks finds a thousand handles, in less memory than one read buffer.
    const KEPT: usize = 1024;

    pub(crate) const fn new() -> Self {
        Self { memory: LoopCell::new(Vec::new()), dealloc: OnceLock::new() }
    }
}

/// Has the class keep the memory of its instances.
pub(crate) fn add_recycling<T: Recycle>(py: Python<'_>) {
    let class = T::type_object(py).as_type_ptr();
    // SAFETY: PyO3 has made and readied the type; no instance of it exists yet.
    let slots = unsafe { &mut *class };
    if let Some(dealloc) = slots.tp_dealloc {
        T::spares().dealloc.get_or_init(|| dealloc);
        slots.tp_dealloc = Some(dealloc_entry::<T>);
        slots.tp_alloc = Some(alloc_entry::<T>);
    }
}

/// `tp_alloc`: an instance that is all zeroes, known to the collector.
unsafe extern "C" fn alloc_entry<T: Recycle>(
    class: *mut ffi::PyTypeObject,
    items: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: called with the GIL held.
    let spare = unsafe {
        Python::attach_unchecked(|py| {
            if class == T::type_object_raw(py) {
                T::spares().memory.with(py, |memory, _| memory.pop())
            } else {
                None
            }
        })
    };
    let Some(Spare(object)) = spare else {
        // SAFETY: the arguments are those of a `tp_alloc`.
        return unsafe { ffi::PyType_GenericAlloc(class, items) };
    };
    // SAFETY: `class` is a valid type, that of the spare.
    let size = usize::try_from(unsafe { (*class).tp_basicsize }).unwrap_or(0);
    // SAFETY: the spare has the size of its class, and is nobody's.
    unsafe { ptr::write_bytes(object.cast::<u8>(), 0, size) };
    // SAFETY: memory of this class; gives it its type and its first reference.
    let object = unsafe { ffi::PyObject_Init(object, class) };
    // SAFETY: was untracked by its end, and zeroes are something to traverse.
    unsafe { ffi::PyObject_GC_Track(object.cast()) };
    object
}

/// `tp_dealloc`.
unsafe extern "C" fn dealloc_entry<T: Recycle>(object: *mut ffi::PyObject) {
    // SAFETY: called by the last decref.
    let class = unsafe { ffi::Py_TYPE(object) };
    // SAFETY: ... with the GIL held.
    let own = unsafe { Python::attach_unchecked(|py| end::<T>(py, object, class)) };
    if !own && let Some(dealloc) = T::spares().dealloc.get() {
        // SAFETY: the very function this one stands in for.
        unsafe { dealloc(object) };
    }
}

/// Ends an instance of the class itself; false for one of a subclass.
fn end<T: Recycle>(
    py: Python<'_>,
    object: *mut ffi::PyObject,
    class: *mut ffi::PyTypeObject,
) -> bool {
    if class != T::type_object_raw(py) {
        return false;
    }
    // SAFETY: an object that the collector may know; it must forget it before its end begins.
    unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
    // SAFETY: an object without references, of a class that has weak ones.
    unsafe { ffi::PyObject_ClearWeakRefs(object) };
    // SAFETY: alive in memory, though without references.
    let this = unsafe { Borrowed::from_ptr(py, object) };
    // SAFETY: its type is that of T.
    let value = ptr::from_ref(unsafe { this.cast_unchecked::<T>() }.get()).cast_mut();
    // SAFETY: nobody can reach the object any more, and nobody drops its value again.
    unsafe { ptr::drop_in_place(value) };
    let spare = Spare(object);
    let too_many = T::spares().memory.with(py, move |memory, _| {
        if memory.len() < Spares::KEPT {
            memory.push(spare);
            return None;
        }
        Some(spare)
    });
    if let Some(Spare(object)) = too_many {
        // SAFETY: allocated by `PyType_GenericAlloc` for a class that the collector looks after.
        unsafe { ffi::PyObject_GC_Del(object.cast()) };
    }
    // SAFETY: instances of heap types own a reference to them.
    unsafe { ffi::Py_DECREF(class.cast()) };
    true
}
