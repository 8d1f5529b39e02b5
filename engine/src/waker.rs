//! Waking a sleeping loop from another thread.

#[cfg(any(target_os = "linux", target_os = "android"))]
#[cfg(not(ferroloop_force_pipe_waker))]
#[path = "waker/eventfd.rs"]
mod fd;
#[cfg(any(ferroloop_force_pipe_waker, not(any(target_os = "linux", target_os = "android"))))]
#[path = "waker/pipe.rs"]
mod fd;

use std::io;
use std::sync::Arc;
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicBool, Ordering};

pub(crate) use fd::WakeFd;

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
    fd: Arc<WakeFd>,
}

impl Waker {
    /// Opens a waker. It does nothing until [`Poller::watch_waker`](crate::Poller::watch_waker)
    /// watches it.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOMEM` of `eventfd(2)` or `pipe(2)`.
    pub fn new() -> io::Result<Self> {
        Ok(Self { gate: Gate::new(), fd: Arc::new(WakeFd::open()?) })
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
    /// Those of `write(2)`. A full pipe is not among them: it is emptied and written again.
    #[inline]
    pub fn wake(&self) -> io::Result<()> {
        if self.gate.claim() { self.fd.signal() } else { Ok(()) }
    }

    /// Whether the loop sleeps and nobody has woken it yet; from any thread. It may be otherwise
    /// the moment after.
    #[inline]
    pub fn is_armed(&self) -> bool {
        self.gate.is_open()
    }

    /// What the poller has to watch.
    pub(crate) fn fd(&self) -> Arc<WakeFd> {
        Arc::clone(&self.fd)
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

    fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Looks before it swaps: an awake loop's gate is shut, and reading it does not take the cache
    /// line away from the others.
    fn claim(&self) -> bool {
        self.is_open() && self.0.swap(false, Ordering::AcqRel)
    }
}

#[cfg(all(test, loom))]
mod model {
    //! Every interleaving of a loop that goes to sleep and threads that push and wake.

    use std::collections::VecDeque;

    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::Gate;

    /// The protocol's parts: the host's queue, the gate, and a model of the kernel's eventfd.
    struct Loop {
        queue: Mutex<VecDeque<u32>>,
        gate: Gate,
        writes: Mutex<u32>,
        written: Condvar,
    }

    impl Loop {
        fn new() -> Self {
            Self {
                queue: Mutex::new(VecDeque::new()),
                gate: Gate::new(),
                writes: Mutex::new(0),
                written: Condvar::new(),
            }
        }

        fn push(&self, job: u32) {
            self.queue.lock().unwrap().push_back(job);
            if self.gate.claim() {
                *self.writes.lock().unwrap() += 1;
                self.written.notify_one();
            }
        }

        /// One turn: sleeps if there is nothing to do, until a write that was not there before.
        fn turn(&self, seen: &mut u32) -> VecDeque<u32> {
            let queue = self.queue.lock().unwrap();
            let sleeps = queue.is_empty();
            if sleeps {
                self.gate.arm();
            }
            drop(queue);
            if sleeps {
                let mut writes = self.writes.lock().unwrap();
                while *writes == *seen {
                    writes = self.written.wait(writes).unwrap();
                }
                *seen = *writes;
            }
            self.gate.shut();
            std::mem::take(&mut *self.queue.lock().unwrap())
        }
    }

    /// Runs turns until every job of every pusher has arrived. A lost wakeup is a deadlock, which
    /// loom reports.
    fn all_jobs_arrive(pushers: &[&'static [u32]]) {
        let shared = Arc::new(Loop::new());
        let threads: Vec<_> = pushers
            .iter()
            .map(|&jobs| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || jobs.iter().for_each(|&job| shared.push(job)))
            })
            .collect();
        let (mut received, mut seen) = (Vec::new(), 0);
        while received.len() < pushers.concat().len() {
            received.extend(shared.turn(&mut seen));
        }
        for thread in threads {
            thread.join().unwrap();
        }
        for jobs in pushers {
            let of_this_thread = received.iter().filter(|job| jobs.contains(job));
            assert!(of_this_thread.eq(jobs.iter()), "S6.2: in order");
        }
    }

    #[test]
    fn no_wakeup_of_one_thread_is_lost() {
        loom::model(|| all_jobs_arrive(&[&[1, 2]]));
    }

    /// Not every interleaving of three threads, but all with up to three preemptions.
    #[test]
    fn no_wakeup_of_two_threads_is_lost() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| all_jobs_arrive(&[&[1], &[2]]));
    }

    /// Of many wakes during one sleep, one writes.
    #[test]
    fn one_write_per_sleep() {
        loom::model(|| {
            let shared = Arc::new(Loop::new());
            shared.gate.arm();
            let pushers = [1, 2].map(|job| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.push(job))
            });
            for pusher in pushers {
                pusher.join().unwrap();
            }
            assert_eq!(*shared.writes.lock().unwrap(), 1);
        });
    }

    /// Awake, nobody writes.
    #[test]
    fn no_write_without_a_sleep() {
        loom::model(|| {
            let shared = Arc::new(Loop::new());
            let other = Arc::clone(&shared);
            let pusher = thread::spawn(move || other.push(1));
            shared.push(2);
            pusher.join().unwrap();
            assert_eq!(*shared.writes.lock().unwrap(), 0);
        });
    }
}
