//! Whether a cell is open, where there is no GIL: one thread at a time may open it.
//!
//! It is open for some hundred instructions, or for a system call that does not block. Only threads
//! that are attached open cells, and none is given to a thread that sleeps, as by fair locks such as
//! Python's own: so a fork, for which Python stops all threads, leaves no cell open in the child.

use std::hint;
use std::sync::atomic::{AtomicU32, Ordering};

use ferroloop_engine::{wait_while, wake_one};
use pyo3::Python;

const SHUT: u32 = 1;
const OPEN: u32 = 2;
/// Open, and another thread may be waiting.
const WANTED: u32 = 3;

/// How often a thread looks before it sleeps, which takes longer.
const LOOKS: u32 = 100;

pub(super) struct Mark(AtomicU32);

impl Mark {
    pub(super) const fn shut() -> Self {
        Self(AtomicU32::new(SHUT))
    }

    #[inline]
    pub(super) fn open(&self, py: Python<'_>) -> Opened<'_> {
        self.try_open().unwrap_or_else(|| self.wait(py))
    }

    /// Nothing if it is open already, or not filled yet.
    #[inline]
    pub(super) fn try_open(&self) -> Option<Opened<'_>> {
        let opened = self.0.compare_exchange(SHUT, OPEN, Ordering::Acquire, Ordering::Relaxed);
        opened.is_ok().then(|| Opened(self))
    }

    #[cold]
    fn wait(&self, py: Python<'_>) -> Opened<'_> {
        for _ in 0..LOOKS {
            hint::spin_loop();
            if self.0.load(Ordering::Relaxed) == SHUT
                && let Some(opened) = self.try_open()
            {
                return opened;
            }
        }
        // Whoever has waited wakes the next: there may be others.
        while self.0.swap(WANTED, Ordering::Acquire) != SHUT {
            // Detached, so that the collector, for which all threads stop, does not wait for us.
            py.detach(|| wait_while(&self.0, WANTED));
        }
        Opened(self)
    }
}

/// Shuts the cell, also when a panic goes by.
pub(super) struct Opened<'a>(&'a Mark);

impl Drop for Opened<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.0.0.swap(SHUT, Ordering::Release) == WANTED {
            wake_one(&self.0.0);
        }
    }
}
