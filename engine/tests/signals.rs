//! The self-pipe, and a poll that a signal interrupts (S47.2).
//!
//! Without the test harness, because a signal sent to a process goes to its main thread, and that
//! has to be the one that polls.
#![allow(clippy::expect_used, reason = "a test may fail")]

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ferroloop_engine::{Interest, Poller, Signals, borrow_fd};
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::SIGUSR1;
use signal_hook::low_level::{register, unregister};

fn main() {
    numbers_arrive_in_order_without_zeros();
    the_pipe_never_blocks_and_is_read_until_empty();
    a_signal_interrupts_a_poll();
    a_signal_handler_reaches_the_loop();
}

fn write(signals: &Signals, bytes: &[u8]) -> std::io::Result<usize> {
    Ok(rustix::io::write(signals.write_fd(), bytes)?)
}

fn drained(signals: &Signals) -> Vec<u8> {
    let mut numbers = Vec::new();
    signals.drain(&mut numbers).expect("drain");
    numbers
}

/// S6.4: nonzero bytes are signal numbers, zero bytes only wake.
fn numbers_arrive_in_order_without_zeros() {
    let signals = Signals::new().expect("pipe");
    assert_eq!(drained(&signals), []);
    write(&signals, &[2, 0, 15, 0, 0, 2]).expect("write");
    assert_eq!(drained(&signals), [2, 15, 2]);
    assert_eq!(drained(&signals), []);
}

/// S6.5, S47.2: full is full; and reading goes on past one portion (S0.32).
fn the_pipe_never_blocks_and_is_read_until_empty() {
    let signals = Signals::new().expect("pipe");
    let mut total = 0;
    while let Ok(written) = write(&signals, &[10; 1000]) {
        total += written;
    }
    assert!(total > 4096, "more than one portion");
    assert_eq!(drained(&signals).len(), total);
    write(&signals, &[1]).expect("room again");
}

/// S4.15: an interrupted poll reports nothing, and says why.
fn a_signal_interrupts_a_poll() {
    // SAFETY: the handler does nothing at all.
    let handler = unsafe { register(SIGUSR1, || {}) }.expect("sigaction");
    for timeout in [None, Some(Duration::from_secs(60)), Some(Duration::from_nanos(900_000_500))] {
        let mut poller = Poller::<()>::new().expect("poller");
        let mut wait = poller.begin(timeout).expect("begin");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| signal_until(&over));
            wait.run().expect("run");
            over.store(true, Ordering::SeqCst);
        });
        assert!(wait.interrupted(), "{timeout:?}");
        poller.end(wait);
        assert_eq!(poller.events().count(), 0);
        let wait = poller.begin(Some(Duration::ZERO)).expect("begin");
        assert!(!wait.interrupted(), "a new poll begins afresh");
    }
    assert!(unregister(handler));
}

/// Again and again: the first may come before the poll has begun.
fn signal_until(over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(5));
        kill_process(getpid(), Signal::USR1).expect("kill");
    }
}

/// S47.2: from the handler through the pipe to a loop that sleeps.
fn a_signal_handler_reaches_the_loop() {
    let signals = Signals::new().expect("pipe");
    let fd = signals.write_fd().as_raw_fd();
    // SAFETY: `write` is all the handler does, and it is async-signal-safe.
    let handler = unsafe {
        register(SIGUSR1, move || {
            let number = [SIGUSR1.to_le_bytes()[0]];
            let _ = rustix::io::write(borrow_fd(fd).expect("open"), &number);
        })
    };
    let handler = handler.expect("sigaction");
    let mut poller = Poller::new().expect("poller");
    let read_end = signals.read_fd().as_raw_fd();
    poller.insert(read_end, Interest::READ, "signals").expect("insert");
    kill_process(getpid(), Signal::USR1).expect("kill");

    let mut wait = poller.begin(Some(Duration::from_secs(60))).expect("begin");
    wait.run().expect("run");
    poller.end(wait);
    let events: Vec<_> = poller.events().map(|(_, _, payload)| *payload).collect();
    assert_eq!(events, ["signals"]);
    assert_eq!(drained(&signals), [SIGUSR1.to_le_bytes()[0]]);
    assert!(unregister(handler));
}
