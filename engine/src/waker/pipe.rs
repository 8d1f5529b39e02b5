//! What wakes a loop where there is no eventfd: a pipe (`pipe(2)`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys;

/// A pipe. Every byte written is an edge, so it is watched edge-triggered and the loop never reads
/// it; once in 64 KiB of wakes it is full, and whoever finds it so empties it.
#[derive(Debug)]
pub(crate) struct WakeFd {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl WakeFd {
    pub(crate) fn open() -> io::Result<Self> {
        let (reader, writer) = sys::pipe()?;
        Ok(Self { reader, writer })
    }

    pub(crate) fn signal(&self) -> io::Result<()> {
        if sys::write(self.writer.as_fd(), &[0])?.is_none() {
            sys::drain(self.reader.as_fd(), |_| {})?;
            sys::write(self.writer.as_fd(), &[0])?;
        }
        Ok(())
    }

    pub(crate) fn read_end(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
