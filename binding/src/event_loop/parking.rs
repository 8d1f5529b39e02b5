//! Threads that must not come back: loops of daemon threads at interpreter exit.
//!
//! Until Python 3.14 a daemon thread that asks for the GIL of an interpreter that is ending is ended
//! by `pthread_exit`, which unwinds its stack by force. Rust's frames do not let that pass: the
//! process would abort. So before the end such a loop is made to park where it is detached anyway,
//! and never asks again. (From 3.14 on the interpreter itself leaves such threads hanging.)

use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub(super) struct Parking {
    requested: AtomicBool,
    parked: AtomicBool,
}

impl Parking {
    /// From any thread. A loop that sleeps has to be woken as well.
    pub(super) fn request(&self) {
        self.requested.store(true, Ordering::Release);
    }

    #[inline]
    pub(super) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Whether the loop's thread is out of the way.
    pub(super) fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Acquire)
    }

    /// To be called detached; does not return if parking was requested. The loop then counts as
    /// closed, so that nobody waits for it.
    #[inline]
    pub(super) fn park_if_requested(&self, closed: &AtomicBool) {
        if self.is_requested() {
            closed.store(true, Ordering::Release);
            self.parked.store(true, Ordering::Release);
            loop {
                std::thread::park();
            }
        }
    }
}
