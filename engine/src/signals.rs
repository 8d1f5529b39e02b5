//! The self-pipe: signal numbers on their way from a signal handler to the loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys;

/// A pipe whose bytes are signal numbers.
///
/// Dispositions belong to the host: whoever owns the C handler writes the number of each signal to
/// [`write_fd`](Signals::write_fd) (`signal-safety(7)` allows `write` there); in Python that is
/// `signal.set_wakeup_fd`. The loop watches [`read_fd`](Signals::read_fd) and drains it. Both ends
/// are non-blocking: a full pipe loses numbers, but never blocks a handler.
#[derive(Debug)]
pub struct Signals {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Signals {
    /// Opens the pipe.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE` of `pipe2(2)`.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = sys::pipe()?;
        Ok(Self { reader, writer })
    }

    /// The end to be watched for reading.
    pub fn read_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// The end a signal handler writes to.
    pub fn write_fd(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }

    /// Reads until the pipe is empty and appends the signal numbers to `numbers`, in order of
    /// arrival. Zero bytes only meant to wake the loop (S6.4) and are left out.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`; an empty pipe is none.
    pub fn drain(&self, numbers: &mut Vec<u8>) -> io::Result<()> {
        sys::drain(self.read_fd(), |bytes| {
            numbers.extend(bytes.iter().copied().filter(|&byte| byte != 0));
        })
    }
}
