//! The lock of a cell where there is no GIL.

#![allow(unsafe_code, reason = "one of the binding's addresses for unsafe")]

use std::cell::UnsafeCell;

use pyo3::{Python, ffi};

/// Python's own mutex. A thread that has to wait detaches, so that the collector, for which all
/// others stop, need not wait for it; and a panic leaves the mutex usable.
pub(super) struct Lock(UnsafeCell<ffi::PyMutex>);

// SAFETY: it is there to be shared by threads.
unsafe impl Sync for Lock {}

impl Lock {
    pub(super) const fn new() -> Self {
        Self(UnsafeCell::new(ffi::PyMutex::new()))
    }

    #[inline]
    pub(super) fn lock(&self, _py: Python<'_>) -> Locked<'_> {
        // SAFETY: `_py` proves that the thread is attached; the mutex does not move while it is
        // borrowed.
        unsafe { ffi::PyMutex_Lock(self.0.get()) };
        Locked(self)
    }
}

/// Unlocks.
pub(super) struct Locked<'a>(&'a Lock);

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this thread has locked it.
        unsafe { ffi::PyMutex_Unlock(self.0.0.get()) };
    }
}
