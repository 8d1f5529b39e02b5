//! Ends of objects within ends.
//!
//! The last reference to a handle may be an argument of another one, whose last reference is one of
//! a third. Ended one within the other, a long row of them would overflow the stack: from some
//! depth on they wait until the outermost is over.

#[cfg(Py_GIL_DISABLED)]
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::cell::LoopCell;

/// How many ends may be nested: CPython's own containers stop at the same depth.
const DEEPEST: usize = 50;

/// Ends an object that has no references.
type End = fn(Python<'_>, *mut ffi::PyObject);

/// An object that waits for its end.
struct Doomed(*mut ffi::PyObject, End);

// SAFETY: nobody can reach an object without references.
unsafe impl Send for Doomed {}

/// The ends that are under way, each within the one before, and those that wait for them.
struct Ends {
    depth: AtomicUsize,
    /// Whether anything is doomed.
    waiting: AtomicBool,
    doomed: LoopCell<Vec<Doomed>>,
}

impl Ends {
    const fn new() -> Self {
        Self {
            depth: AtomicUsize::new(0),
            waiting: AtomicBool::new(false),
            doomed: LoopCell::new(Vec::new()),
        }
    }

    #[inline]
    fn nest(&self, py: Python<'_>, object: *mut ffi::PyObject, end: End) {
        let depth = self.depth.load(Ordering::Relaxed);
        if depth >= DEEPEST {
            let doomed = Doomed(object, end);
            self.doomed.with(py, move |all, _| all.push(doomed));
            self.waiting.store(true, Ordering::Relaxed);
            return;
        }
        self.depth.store(depth + 1, Ordering::Relaxed);
        end(py, object);
        if self.waiting.load(Ordering::Relaxed) && self.depth.load(Ordering::Relaxed) == 1 {
            self.end_doomed(py);
        }
        // Not what it was before: with a GIL, other threads may have had it meanwhile.
        let depth = self.depth.load(Ordering::Relaxed);
        self.depth.store(depth.saturating_sub(1), Ordering::Relaxed);
    }

    /// What these ends call may doom others.
    #[cold]
    fn end_doomed(&self, py: Python<'_>) {
        while let Some(Doomed(object, end)) = self.doomed.with(py, |all, _| all.pop()) {
            end(py, object);
        }
        self.waiting.store(false, Ordering::Relaxed);
        drop(self.doomed.with(py, |all, _| std::mem::take(all)));
    }
}

/// Of whoever has the GIL.
#[cfg(not(Py_GIL_DISABLED))]
static ENDS: Ends = Ends::new();

// Without a destructor: the destructor of something else may come later and end objects.
#[cfg(Py_GIL_DISABLED)]
thread_local!(static ENDS: ManuallyDrop<Ends> = const { ManuallyDrop::new(Ends::new()) });

/// Ends an object without references, by `end`, now or soon.
#[inline]
pub(super) fn nest(py: Python<'_>, object: *mut ffi::PyObject, end: End) {
    #[cfg(not(Py_GIL_DISABLED))]
    ENDS.nest(py, object, end);
    #[cfg(Py_GIL_DISABLED)]
    ENDS.with(|ends| ends.nest(py, object, end));
}
