//! Signals, delivered to a loop through the self-pipe.
//!
//! `cargo run --example signals` sends itself SIGUSR1 twice and SIGTERM once, prints what arrives,
//! and ends on SIGTERM, as it would on one from outside.

use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use ferroloop_engine::{Interest, Poller, Signals, borrow_fd};
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGTERM, SIGUSR1};
use signal_hook::low_level::register;

/// Has the handler of `signal` write its number to the pipe, and do nothing else.
fn install(signal: i32, pipe: RawFd) -> io::Result<()> {
    let number = signal.to_le_bytes()[0];
    let handler = move || {
        if let Ok(pipe) = borrow_fd(pipe) {
            let _ = rustix::io::write(pipe, &[number]);
        }
    };
    // SAFETY: a signal handler may only do what is async-signal-safe, and `write` is.
    unsafe { register(signal, handler) }?;
    Ok(())
}

/// What a loop does on its own while signals come in: here, causing them.
fn work(step: u32) -> io::Result<()> {
    let signal = if step < 2 { Signal::USR1 } else { Signal::TERM };
    kill_process(getpid(), signal)?;
    Ok(())
}

fn main() -> io::Result<()> {
    let signals = Signals::new()?;
    for signal in [SIGUSR1, SIGTERM] {
        install(signal, signals.write_fd().as_raw_fd())?;
    }
    let mut poller = Poller::new()?;
    let fd = signals.read_fd().as_raw_fd();
    poller.insert(fd, Interest::READ, ()).map_err(|refused| refused.error)?;

    let mut out = io::stdout().lock();
    for step in 0.. {
        work(step)?;
        let mut wait = poller.begin(Some(Duration::from_secs(10)))?;
        wait.run()?;
        poller.end(wait);
        let mut numbers = Vec::new();
        if poller.events().next().is_some() {
            signals.drain(&mut numbers)?;
        }
        for number in numbers {
            writeln!(out, "signal {number}")?;
            if i32::from(number) == SIGTERM {
                return writeln!(out, "good night");
            }
        }
    }
    Ok(())
}
