//! Objects that live for one turn of the loop: their memory is kept for the next ones.
//!
//! A callback's handle is made, run and dropped a million times a second. So [`make`] takes the
//! memory that an earlier handle left, and `tp_dealloc`, ours, leaves it there.
//!
//! What `make` makes is unknown to the collector, which would look through all of a burst's handles
//! again and again. Whatever a running loop has queued is alive, so there is nothing to find. Who
//! takes an object from the queue says so ([`let_go`]), and so does a loop that stops with its
//! queue full ([`reveal`]): then it may be part of a cycle, like any other.
//!
//! Free-threaded builds have none of this: there each thread has an allocator of its own, the
//! collector looks through the memory and not through lists, and one store of spares would have all
//! threads wait for each other.

use std::ffi::c_int;
use std::ptr;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::{Borrowed, PyClass, ffi};

use super::ends;
use super::finalize::replace_dealloc;
use crate::cell::LoopCell;

/// The most spares of one class: as many as a busy thread calls `call_soon_threadsafe` before the
/// loop's thread has its next turn (`sys.getswitchinterval`), in some two MiB.
const KEPT: usize = 16_384;

/// Beyond this many live instances we are in a burst: the interpreter's free lists no longer supply
/// what they hold.
const BURST: usize = 256;

/// A class whose instances are made anew from old ones. Subclasses of it are not.
pub(crate) trait Recycle: PyClass<Frozen = True> + Sync {
    /// Where in an instance its value is.
    type Place: Place<Value: Into<PyClassInitializer<Self>>> + 'static;
    fn spares() -> &'static Spares<Self::Place>;
    fn place(this: Borrowed<'_, '_, Self>) -> Self::Place;
    /// Gives up what can be made again: this is one of a burst.
    fn lighten(value: &Value<Self>, py: Python<'_>);
    /// Drops what an instance held. Its end may come in any thread, also where PyO3 does not know
    /// that it is attached and would put a dropped `Py` off: so each becomes a `Bound` first.
    fn bury(value: Value<Self>, py: Python<'_>);
}

/// What an instance holds.
pub(crate) type Value<T> = <<T as Recycle>::Place as Place>::Value;

/// The address of a value, which for a class with a base has two parts.
pub(crate) trait Place: Copy {
    type Value;
    /// # Safety
    /// Memory for such a value, where none is.
    unsafe fn write(self, value: Self::Value);
    /// # Safety
    /// A value that nobody reads or drops after this.
    unsafe fn read(self) -> Self::Value;
}

/// Where in an instance the value of a class is: reached from the object itself, since through a
/// reference to the value nothing may be written.
#[inline]
pub(crate) fn place_in<T: PyClass<Frozen = True> + Sync>(this: Borrowed<'_, '_, T>) -> *mut T {
    this.as_ptr().with_addr(ptr::from_ref(this.get()).addr()).cast()
}

impl<T> Place for *mut T {
    type Value = T;

    #[inline]
    unsafe fn write(self, value: T) {
        // SAFETY: as the caller says.
        unsafe { ptr::write(self, value) }
    }

    #[inline]
    unsafe fn read(self) -> T {
        // SAFETY: as the caller says.
        unsafe { ptr::read(self) }
    }
}

impl<T: Place, Base: Place> Place for (T, Base) {
    type Value = (T::Value, Base::Value);

    #[inline]
    unsafe fn write(self, (value, base): Self::Value) {
        // SAFETY: as the caller says.
        unsafe { self.0.write(value) };
        // SAFETY: likewise.
        unsafe { self.1.write(base) };
    }

    #[inline]
    unsafe fn read(self) -> Self::Value {
        // SAFETY: as the caller says.
        let value = unsafe { self.0.read() };
        // SAFETY: likewise.
        (value, unsafe { self.1.read() })
    }
}

/// The memory of dead instances, and how PyO3 ends those that are of a subclass.
pub(crate) struct Spares<P> {
    memory: LoopCell<Memory<P>>,
    dealloc: OnceLock<ffi::destructor>,
}

struct Memory<P> {
    spares: Vec<Spare<P>>,
    /// How many instances there are, of those that `make` has made.
    alive: usize,
}

/// An object without a type, a value or a reference, and where in it the value was.
struct Spare<P> {
    object: *mut ffi::PyObject,
    place: P,
}

// SAFETY: nobody else knows the addresses, and an allocation belongs to no thread.
unsafe impl<P> Send for Spare<P> {}

impl<P> Spares<P> {
    pub(crate) const fn new() -> Self {
        let memory = Memory { spares: Vec::new(), alive: 0 };
        Self { memory: LoopCell::new(memory), dealloc: OnceLock::new() }
    }

    #[inline]
    fn take(&self, py: Python<'_>) -> (Option<Spare<P>>, usize) {
        if cfg!(Py_GIL_DISABLED) {
            return (None, 0);
        }
        self.memory.with(py, |memory, _| {
            memory.alive += 1;
            (memory.spares.pop(), memory.alive)
        })
    }

    /// One that `take` has counted did not come to be.
    #[cold]
    fn forget(&self, py: Python<'_>) {
        self.memory.with(py, |memory, _| memory.alive = memory.alive.saturating_sub(1));
    }

    /// Keeps the spare, or gives it back if there are enough.
    #[inline]
    fn put(&self, py: Python<'_>, spare: Spare<P>) -> Option<Spare<P>> {
        if cfg!(Py_GIL_DISABLED) {
            return Some(spare);
        }
        self.memory.with(py, move |memory, _| {
            memory.alive = memory.alive.saturating_sub(1);
            if memory.spares.len() < KEPT {
                memory.spares.push(spare);
                return None;
            }
            Some(spare)
        })
    }
}

/// Has the class keep the memory of its instances.
pub(crate) fn add_recycling<T: Recycle>(py: Python<'_>) {
    replace_dealloc::<T>(py, &T::spares().dealloc, dealloc_entry::<T>);
}

/// An instance that holds `value`, unknown to the collector.
#[inline(always)]
#[expect(clippy::inline_always, reason = "see Request in event_loop/schedule.rs")]
pub(crate) fn make<T: Recycle>(py: Python<'_>, value: Value<T>) -> PyResult<Bound<'_, T>> {
    let (spare, alive) = T::spares().take(py);
    if alive > BURST {
        T::lighten(&value, py);
    }
    let Some(spare) = spare else {
        return make_new(py, value);
    };
    // SAFETY: memory of this class, nobody's; gives it its type and its first reference.
    let object = unsafe { ffi::PyObject_Init(spare.object, T::type_object_raw(py)) };
    // SAFETY: where an instance of this class had its value, which is gone.
    unsafe { spare.place.write(value) };
    // SAFETY: a new reference.
    let made = unsafe { Bound::from_owned_ptr(py, object) };
    // SAFETY: of this class since the first step.
    Ok(unsafe { made.cast_into_unchecked() })
}

#[cold]
fn make_new<T: Recycle>(py: Python<'_>, value: Value<T>) -> PyResult<Bound<'_, T>> {
    let made = Bound::new(py, value).inspect_err(|_| T::spares().forget(py))?;
    #[cfg(not(Py_GIL_DISABLED))]
    // SAFETY: an object of a class that the collector looks after.
    unsafe {
        ffi::PyObject_GC_UnTrack(made.as_ptr().cast());
    }
    Ok(made)
}

/// An instance that holds `value` and may outlast the run: the collector knows it.
pub(crate) fn make_lasting<T: Recycle>(py: Python<'_>, value: Value<T>) -> PyResult<Bound<'_, T>> {
    let made = make(py, value)?;
    reveal(&made);
    Ok(made)
}

/// The loop is done with an object that [`make`] made: it ends here, or the collector hears of it.
#[inline]
pub(crate) fn let_go<T: Recycle>(object: Bound<'_, T>) {
    // SAFETY: a valid object.
    if unsafe { ffi::Py_REFCNT(object.as_ptr()) } > 1 {
        reveal(&object);
    }
    drop(object);
}

/// Makes an object known to the collector, if it is not. Runs no code of anybody's.
pub(crate) fn reveal<T: Recycle>(object: &Bound<'_, T>) {
    // SAFETY: an object of a class that the collector looks after.
    let known: c_int = unsafe { ffi::PyObject_GC_IsTracked(object.as_ptr()) };
    if known == 0 {
        // SAFETY: complete, and not tracked.
        unsafe { ffi::PyObject_GC_Track(object.as_ptr().cast()) };
    }
}

/// `tp_dealloc`.
unsafe extern "C" fn dealloc_entry<T: Recycle>(object: *mut ffi::PyObject) {
    // SAFETY: called by the last decref.
    let class = unsafe { ffi::Py_TYPE(object) };
    // SAFETY: ... in an attached thread; `bury` needs not have PyO3 know it.
    let py = unsafe { Python::assume_attached() };
    if class == T::type_object_raw(py) {
        // SAFETY: an object that the collector may know; it must forget it before its end begins.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
        ends::nest(py, object, end::<T>);
    } else if let Some(dealloc) = T::spares().dealloc.get() {
        // SAFETY: the very function this one stands in for.
        unsafe { dealloc(object) };
    }
}

/// Ends an instance of the class itself.
#[inline]
fn end<T: Recycle>(py: Python<'_>, object: *mut ffi::PyObject) {
    // SAFETY: alive in memory, though without references.
    let this = unsafe { Borrowed::from_ptr(py, object) };
    // SAFETY: its type is that of T.
    let place = T::place(unsafe { this.cast_unchecked() });
    // SAFETY: an object without references, of a class that has weak ones.
    unsafe { ffi::PyObject_ClearWeakRefs(object) };
    // SAFETY: nobody can reach the object any more, and nobody reads its value again.
    T::bury(unsafe { place.read() }, py);
    if let Some(spare) = T::spares().put(py, Spare { object, place }) {
        // SAFETY: allocated by `PyType_GenericAlloc` for a class that the collector looks after.
        unsafe { ffi::PyObject_GC_Del(spare.object.cast()) };
    }
    // SAFETY: instances of heap types own a reference to them.
    unsafe { ffi::Py_DECREF(T::type_object_raw(py).cast()) };
}
