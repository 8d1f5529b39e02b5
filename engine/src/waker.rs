//! Waking a sleeping loop from another thread.

#[cfg(any(target_os = "linux", target_os = "android"))]
#[cfg(not(ferroloop_force_pipe_waker))]
#[path = "waker/eventfd.rs"]
mod channel;
#[cfg(any(
    ferroloop_force_pipe_waker,
    not(any(target_os = "linux", target_os = "android"))
))]
#[path = "waker/pipe.rs"]
mod channel;

use std::io;
use std::sync::Arc;
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicBool, Ordering};

pub(crate) use channel::Channel;

/// Ends the poll of a loop that sleeps, from any thread.
///
/// The protocol, for a queue guarded by a lock:
///
/// * The loop, under the lock, finds the queue empty and calls [`arm`](Waker::arm); it releases the
///   lock, polls, and calls [`disarm`](Waker::disarm).
/// * A pusher, under the lock, pushes; then, under it or not, it calls [`wake`](Waker::wake).
///
/// Either the push came before the loop looked, and the loop does not sleep; or the loop had armed
/// before the push, and the pusher sees that. So no wakeup is lost, no pusher writes while the loop
/// is awake, and of many pushers only one writes (S6.5, S6.6).
///
/// The waker owns its descriptors until it is dropped. A wake that races with the loop's closing
/// writes to an eventfd nobody polls, never to a stranger's recycled number (S6.3).
#[derive(Debug)]
pub struct Waker {
    gate: Gate,
    channel: Arc<Channel>,
}

impl Waker {
    /// Opens a waker. It does nothing until [`Poller::watch_waker`](crate::Poller::watch_waker)
    /// watches it.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOMEM` of `eventfd(2)` or `pipe(2)`.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            gate: Gate::new(),
            channel: Arc::new(Channel::open()?),
        })
    }

    /// The loop is about to sleep: from now on the next [`wake`](Waker::wake) writes.
    #[inline]
    pub fn arm(&self) {
        self.gate.arm();
    }

    /// The loop is awake: wakes cost nothing again.
    #[inline]
    pub fn disarm(&self) {
        self.gate.shut();
    }

    /// Ends the loop's sleep if it is armed; otherwise does nothing.
    ///
    /// # Errors
    ///
    /// Those of `write(2)`. A full channel is not among them: it is emptied and written again.
    #[inline]
    pub fn wake(&self) -> io::Result<()> {
        if self.gate.claim() {
            self.channel.signal()
        } else {
            Ok(())
        }
    }

    /// What the poller has to watch.
    pub(crate) fn channel(&self) -> Arc<Channel> {
        Arc::clone(&self.channel)
    }
}

/// Open while the loop sleeps and nobody has woken it yet. Whoever claims it may act, once.
#[derive(Debug)]
struct Gate(AtomicBool);

impl Gate {
    fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    fn arm(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn shut(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Looks before it swaps: an awake loop's gate is shut, and reading it does not take the cache
    /// line away from the others.
    fn claim(&self) -> bool {
        self.0.load(Ordering::Acquire) && self.0.swap(false, Ordering::AcqRel)
    }
}
