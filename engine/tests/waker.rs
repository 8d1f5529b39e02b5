//! Waking the loop from other threads, with real threads. The model is in `src/waker.rs`.
#![allow(clippy::expect_used, reason = "a test may fail")]

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{NAP, is_quiet, poll};
use ferroloop_engine::{Poller, Waker};

fn watched() -> (Poller<()>, Waker) {
    let mut poller = Poller::new().expect("poller");
    let waker = Waker::new().expect("waker");
    poller.watch_waker(&waker).expect("watch");
    (poller, waker)
}

/// How long one poll slept, at most `limit`. A waker is no event of the host's.
fn sleep(poller: &mut Poller<()>, limit: Duration) -> Duration {
    let started = Instant::now();
    assert!(poll(poller, limit).is_empty());
    started.elapsed()
}

#[test]
fn an_armed_waker_ends_the_sleep() {
    let (mut poller, waker) = watched();
    waker.arm();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(NAP);
            waker.wake().expect("wake");
        });
        assert!(sleep(&mut poller, NAP * 100) < NAP * 100);
    });
}

/// S6.6: awake, a wake costs and causes nothing.
#[test]
fn an_unarmed_waker_does_nothing() {
    let (mut poller, waker) = watched();
    waker.wake().expect("wake");
    waker.arm();
    waker.disarm();
    waker.wake().expect("wake");
    assert!(is_quiet(&mut poller));
}

/// From the arming to the first wake, and not while the loop is awake.
#[test]
fn an_armed_waker_says_so() {
    let (_poller, waker) = watched();
    assert!(!waker.is_armed());
    waker.arm();
    assert!(waker.is_armed());
    waker.wake().expect("wake");
    assert!(!waker.is_armed());
    waker.arm();
    waker.disarm();
    assert!(!waker.is_armed());
}

/// Edge-triggered: a wake ends one poll, is never read back, and the next one ends one again.
#[test]
fn a_wake_ends_one_poll() {
    let (mut poller, waker) = watched();
    for _ in 0..3 {
        waker.arm();
        waker.wake().expect("wake");
        waker.wake().expect("the gate is shut already");
        assert!(sleep(&mut poller, NAP * 100) < NAP * 100);
        assert!(is_quiet(&mut poller));
    }
}

/// More wakes than a pipe holds bytes.
#[test]
fn the_channel_is_never_full() {
    let (mut poller, waker) = watched();
    for _ in 0..70_000 {
        waker.arm();
        waker.wake().expect("wake");
    }
    assert!(sleep(&mut poller, NAP * 100) < NAP * 100);
    assert!(is_quiet(&mut poller));
}

/// S47.7: after the poller has gone a wake goes nowhere.
#[test]
fn waking_a_closed_loop_is_harmless() {
    let (poller, waker) = watched();
    waker.arm();
    drop(poller);
    waker.wake().expect("wake");
    waker.wake().expect("wake");
}

/// Many threads, one sleeping loop without a timeout: every job arrives, or this hangs.
#[test]
fn no_wakeup_is_lost_under_stress() {
    const THREADS: usize = 4;
    const JOBS: usize = 5_000;
    let (mut poller, waker) = watched();
    let queue = Mutex::new(Vec::new());
    let pushers = AtomicUsize::new(THREADS);
    let mut received = 0;
    let mut sleeps = 0;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for job in 0..JOBS {
                    queue.lock().expect("lock").push(job);
                    waker.wake().expect("wake");
                    if job % 64 == 0 {
                        thread::yield_now();
                    }
                }
                pushers.fetch_sub(1, Ordering::SeqCst);
            });
        }
        while received < THREADS * JOBS {
            let guard = queue.lock().expect("lock");
            let timeout = if guard.is_empty() {
                waker.arm();
                sleeps += 1;
                None
            } else {
                Some(Duration::ZERO)
            };
            drop(guard);
            let mut wait = poller.begin(timeout).expect("begin");
            wait.run().expect("run");
            waker.disarm();
            poller.end(wait);
            received += std::mem::take(&mut *queue.lock().expect("lock")).len();
        }
    });
    assert_eq!(received, THREADS * JOBS);
    assert_eq!(pushers.into_inner(), 0);
    assert!(sleeps > 0, "the loop never slept, so nothing was tested");
}
