//! Waiting for a word to change.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use ferroloop_engine::{wait_while, wake_one};

#[test]
fn a_word_that_has_changed_is_not_waited_for() {
    wait_while(&AtomicU32::new(1), 2);
}

#[test]
fn who_waits_is_woken() {
    let word = AtomicU32::new(1);
    thread::scope(|scope| {
        scope.spawn(|| {
            while word.load(Ordering::Acquire) == 1 {
                wait_while(&word, 1);
            }
        });
        thread::yield_now();
        word.store(2, Ordering::Release);
        wake_one(&word);
    });
}

#[test]
fn nobody_needs_to_wait() {
    wake_one(&AtomicU32::new(1));
}
