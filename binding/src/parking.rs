//! Threads that must not come back to an interpreter that is about to end.
//!
//! Until Python 3.14 a daemon thread that asks for the GIL of an interpreter that is ending is
//! ended by `pthread_exit`, which unwinds its stack by force. Rust's frames do not let that pass:
//! the process would abort. So before the end such a thread is made to park where it is detached
//! anyway, and never asks again: the loops of daemon threads, and threads that wait for a child.
//! What is amid Python code then parks where the unwinding reaches the first of our frames
//! (`ffi/call.rs`). (From 3.14 on the interpreter itself leaves such threads hanging.)

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use pyo3::prelude::*;

pub(crate) fn park_for_ever() -> ! {
    loop {
        thread::park();
    }
}

/// How a loop's thread is parked.
#[derive(Default)]
pub(crate) struct Parking {
    requested: AtomicBool,
    parked: AtomicBool,
}

impl Parking {
    /// From any thread. A loop that sleeps has to be woken as well.
    pub(crate) fn request(&self) {
        self.requested.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Whether the loop's thread is out of the way.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Acquire)
    }

    /// To be called detached; does not return if parking was requested. The loop then counts as
    /// closed, so that nobody waits for it.
    #[inline]
    pub(crate) fn park_if_requested(&self, closed: &AtomicBool) {
        if self.is_requested() {
            closed.store(true, Ordering::Release);
            self.parked.store(true, Ordering::Release);
            park_for_ever();
        }
    }
}

/// The interpreter is about to end.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Threads already on their way back from `wait_detached`. Later ones stay parked.
static RETURNING: AtomicUsize = AtomicUsize::new(0);

/// Waits detached, and does not return once the interpreter is about to end.
pub(crate) fn wait_detached<T: Send>(py: Python<'_>, wait: impl FnOnce() -> T + Send) -> T {
    let outcome = py.detach(|| {
        let outcome = wait();
        RETURNING.fetch_add(1, Ordering::SeqCst);
        if ENDING.load(Ordering::SeqCst) {
            RETURNING.fetch_sub(1, Ordering::SeqCst);
            park_for_ever();
        }
        outcome
    });
    RETURNING.fetch_sub(1, Ordering::SeqCst);
    outcome
}

/// Keeps threads that wait for children from coming back; how many are on their way already.
#[pyfunction]
pub(crate) fn park_waiting() -> usize {
    ENDING.store(true, Ordering::SeqCst);
    RETURNING.load(Ordering::SeqCst)
}
