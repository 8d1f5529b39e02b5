//! `LoopCell`: the one interior-mutability type of the binding.
//!
//! With the GIL only one thread can open a cell. Free-threaded builds have none (PEP 703): there
//! each cell has a lock of one byte.
//!
//! The mutable state of a Python-visible object sits in cells, each opened by a closure that may
//! not capture or return anything tied to the interpreter: it must be [`Send`], which is PyO3's own
//! test for code that may run detached (`Ungil`). Such a closure cannot call Python and cannot
//! detach, so code that runs while a cell is open never re-enters it: no Python code under a
//! borrow, no lock order to remember.
//!
//! Two things the compiler does not see are left to the reader: a `Py` must not be *dropped* in a
//! closure (a finalizer runs arbitrary code: return it, and let the caller drop it), and a second
//! cell is opened only where its owner differs from the first.

#![allow(unsafe_code, reason = "one of the binding's addresses for unsafe")]

#[cfg(Py_GIL_DISABLED)]
mod lock;

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::{PyTraverseError, PyVisit};

#[cfg(Py_GIL_DISABLED)]
use lock::Lock;

// Marks of a cell. Neither is zero: the collector may already see an object whose memory PyO3 has
// not filled yet (making its `__dict__` can start a collection), and such a cell is neither open
// nor shut.
const SHUT: u8 = 1;
const OPEN: u8 = 2;

/// Interior mutability guarded by the GIL, or the lock, and a mark that says whether it is open.
pub(crate) struct LoopCell<T> {
    #[cfg(Py_GIL_DISABLED)]
    lock: Lock,
    mark: AtomicU8,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through `with`, `traverse` and `clear`, of which there is one
// at a time; `T: Send` lets the thread change.
unsafe impl<T: Send> Sync for LoopCell<T> {}

/// The only Python operation allowed while a cell is open: one more reference to an object.
#[derive(Clone, Copy)]
pub(crate) struct Share<'py>(Python<'py>);

impl Share<'_> {
    #[inline]
    pub(crate) fn share<T>(self, object: &Py<T>) -> Py<T> {
        object.clone_ref(self.0)
    }

    #[inline]
    pub(crate) fn share_bytes(self, bytes: &PyBackedBytes) -> PyBackedBytes {
        bytes.clone_ref(self.0)
    }
}

/// Shuts the cell, also when the closure panics.
struct Opened<'a>(&'a AtomicU8);

impl<'a> Opened<'a> {
    #[inline]
    fn new(mark: &'a AtomicU8) -> Self {
        // A re-entry is a bug of ours; a panic becomes an exception, aliasing would become
        // anything.
        assert!(mark.load(Ordering::Relaxed) == SHUT, "a loop cell was opened twice");
        mark.store(OPEN, Ordering::Relaxed);
        Self(mark)
    }
}

impl Drop for Opened<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(SHUT, Ordering::Relaxed);
    }
}

impl<T: Default + Send> Default for LoopCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Send> LoopCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            #[cfg(Py_GIL_DISABLED)]
            lock: Lock::new(),
            mark: AtomicU8::new(SHUT),
            value: UnsafeCell::new(value),
        }
    }

    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// Opens the cell for the length of `open`.
    #[inline]
    pub(crate) fn with<R: Send>(
        &self,
        py: Python<'_>,
        open: impl FnOnce(&mut T, Share<'_>) -> R + Send,
    ) -> R {
        #[cfg(Py_GIL_DISABLED)]
        let _locked = self.lock.lock(py);
        let _opened = Opened::new(&self.mark);
        // SAFETY: the GIL, of which `py` is the proof, or the lock keeps other threads out, and the
        // mark proves that this one has no reference yet; that stays so until `open` returns, because
        // it cannot reach Python.
        let value = unsafe { &mut *self.value.get() };
        open(value, Share(py))
    }

    /// A reference to the object that `find` finds.
    #[inline]
    pub(crate) fn shared<'py, U>(
        &self,
        py: Python<'py>,
        find: impl FnOnce(&T) -> Option<&Py<U>> + Send,
    ) -> Option<Bound<'py, U>> {
        let found = self.with(py, |value, share| find(value).map(|object| share.share(object)));
        found.map(|object| object.into_bound(py))
    }

    /// Shows the value to the garbage collector; skipped while the cell is open or not yet filled,
    /// which makes an incomplete (and so legal) traversal.
    pub(crate) fn traverse(
        &self,
        visit: &PyVisit<'_>,
        show: impl FnOnce(&T, &PyVisit<'_>) -> Result<(), PyTraverseError>,
    ) -> Result<(), PyTraverseError> {
        if self.mark.load(Ordering::Relaxed) != SHUT {
            return Ok(());
        }
        let _opened = Opened::new(&self.mark);
        // SAFETY: `visit` proves that this is a traversal, so with the GIL or with all other threads
        // stopped; and the cell was shut.
        let value = unsafe { &*self.value.get() };
        show(value, visit)
    }

    /// Takes out what could form a cycle and drops it with the cell shut. For `__clear__` alone.
    pub(crate) fn clear<R: Send>(&self, take: impl FnOnce(&mut T) -> R + Send) {
        // SAFETY: `tp_clear` is called by the collector in an attached thread; PyO3 gives no token
        // there.
        let taken = unsafe { Python::attach_unchecked(|py| self.with(py, |value, _| take(value))) };
        drop(taken);
    }
}
