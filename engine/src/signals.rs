//! The self-pipe: signal numbers on their way from a signal handler to the loop.

use std::io::{self, ErrorKind};
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
    /// Bytes per read (S0.32; asyncio reads its self-pipe in the same portions).
    const PORTION: usize = 4096;

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
        let mut portion = [0; Self::PORTION];
        loop {
            match sys::read(self.read_fd(), sys::room(&mut portion)) {
                Ok(read) => {
                    let bytes = portion.iter().take(read);
                    numbers.extend(bytes.copied().filter(|&byte| byte != 0));
                    if read < portion.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}
