//! Waiting for a word in memory to change: `futex(2)`, for locks of the host's own.

use std::sync::atomic::AtomicU32;

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::thread::futex;

/// Waits while `word` is `expected`, until [`wake_one`] or a signal, or for no reason: the caller
/// looks again. Elsewhere than on Linux it waits for a moment.
pub fn wait_while(word: &AtomicU32, expected: u32) {
    // EAGAIN and EINTR: the caller looks again in any case.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = futex::wait(word, futex::Flags::PRIVATE, expected, None);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    if word.load(std::sync::atomic::Ordering::Relaxed) == expected {
        std::thread::sleep(std::time::Duration::from_micros(20));
    }
}

/// Wakes one thread that waits for `word` to change.
pub fn wake_one(word: &AtomicU32) {
    // There is nothing that could fail, as the word is there.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = word;
}
