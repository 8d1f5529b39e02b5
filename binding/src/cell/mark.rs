//! Whether a cell is open, where a GIL keeps all threads but one away.

use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::Python;

const SHUT: u8 = 1;
const OPEN: u8 = 2;

pub(super) struct Mark(AtomicU8);

impl Mark {
    pub(super) const fn shut() -> Self {
        Self(AtomicU8::new(SHUT))
    }

    #[expect(clippy::panic, reason = "it becomes an exception; aliasing would become anything")]
    #[inline]
    pub(super) fn open(&self, _py: Python<'_>) -> Opened<'_> {
        match self.try_open() {
            Some(opened) => opened,
            None => panic!("a loop cell was opened twice"), // which is a bug of ours
        }
    }

    /// Nothing if it is open already, or not filled yet.
    #[inline]
    pub(super) fn try_open(&self) -> Option<Opened<'_>> {
        (self.0.load(Ordering::Relaxed) == SHUT).then(|| {
            self.0.store(OPEN, Ordering::Relaxed);
            Opened(self)
        })
    }
}

/// Shuts the cell, also when a panic goes by.
pub(super) struct Opened<'a>(&'a Mark);

impl Drop for Opened<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.0.store(SHUT, Ordering::Relaxed);
    }
}
