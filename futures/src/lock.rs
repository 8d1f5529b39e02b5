//! A lock that a panic elsewhere does not poison: what it guards is replaced as a whole, so there
//! is no half of a change to be afraid of.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
