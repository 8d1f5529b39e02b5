//! `LoopCell`: the one interior-mutability type of the binding.
//!
//! With the GIL only one thread can open a cell. Free-threaded builds have none (PEP 703): there a
//! thread that finds a cell open waits.
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

#[cfg_attr(Py_GIL_DISABLED, path = "cell/lock.rs")]
mod mark;

use std::cell::UnsafeCell;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::{PyTraverseError, PyVisit};

use mark::Mark;

/// Interior mutability guarded by a mark that says whether it is open.
///
/// Zeros are no mark: the collector may already see an object whose memory PyO3 has not filled yet
/// (making its `__dict__` can start a collection), and such a cell is neither open nor shut.
pub(crate) struct LoopCell<T> {
    mark: Mark,
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

impl<T: Default + Send> Default for LoopCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Send> LoopCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { mark: Mark::shut(), value: UnsafeCell::new(value) }
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
        let _opened = self.mark.open(py);
        // SAFETY: the mark, which with the GIL only its holder reads and writes, proves that nobody
        // has a reference yet; that stays so until `open` returns, because it cannot reach Python.
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
        let Some(_opened) = self.mark.try_open() else {
            return Ok(());
        };
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
