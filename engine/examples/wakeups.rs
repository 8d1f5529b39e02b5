//! Work done by threads, results handed to a loop that sleeps meanwhile.
//!
//! `cargo run --example wakeups` has three threads square the numbers below thirty, adds up what
//! they send, and ends when all of it has arrived.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ferroloop_engine::{Poller, Ready, Waker};

const THREADS: u64 = 3;
const NUMBERS: u64 = 30;

/// What the threads and the loop share: a queue behind a lock, and the means to wake the loop.
struct Mailbox {
    queue: Mutex<Ready<u64>>,
    waker: Waker,
}

impl Mailbox {
    fn queue(&self) -> MutexGuard<'_, Ready<u64>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From any thread: queue first, wake then. Awake, the loop costs no system call.
    fn send(&self, result: u64) -> io::Result<()> {
        self.queue().push(result);
        self.waker.wake()
    }

    /// Under the lock: if there is nothing to do, the waker is armed before anybody can push.
    fn timeout(&self) -> Option<Duration> {
        let queue = self.queue();
        if queue.is_empty() {
            self.waker.arm();
            return None;
        }
        Some(Duration::ZERO)
    }
}

fn work(mailbox: &Mailbox, first: u64) -> io::Result<()> {
    for number in (first..NUMBERS).step_by(3) {
        thread::sleep(Duration::from_millis(1));
        mailbox.send(number * number)?;
    }
    Ok(())
}

/// Turns until everything has arrived: its sum.
fn collect(poller: &mut Poller<()>, mailbox: &Mailbox) -> io::Result<u64> {
    let (mut sum, mut received) = (0, 0);
    while received < NUMBERS {
        let mut wait = poller.begin(mailbox.timeout())?;
        wait.run()?;
        mailbox.waker.disarm();
        poller.end(wait);
        while let Some(result) = mailbox.queue().pop() {
            sum += result;
            received += 1;
        }
    }
    Ok(sum)
}

fn main() -> io::Result<()> {
    let mut poller = Poller::new()?;
    let mailbox = Mailbox { queue: Mutex::new(Ready::new()), waker: Waker::new()? };
    poller.watch_waker(&mailbox.waker)?;
    let sum = thread::scope(|scope| {
        for first in 0..THREADS {
            let mailbox = &mailbox;
            scope.spawn(move || work(mailbox, first));
        }
        collect(&mut poller, &mailbox)
    })?;
    writeln!(io::stdout(), "the squares below thirty add up to {sum}")
}
