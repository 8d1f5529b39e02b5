//! The wake channel where there is no eventfd: a pipe (`pipe(2)`).

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys;

/// A pipe. Every byte written is an edge, so it is watched edge-triggered and the loop never reads
/// it; once in 64 KiB of wakes it is full, and whoever finds it so empties it.
#[derive(Debug)]
pub(crate) struct Channel {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Channel {
    pub(crate) fn open() -> io::Result<Self> {
        let (reader, writer) = sys::pipe()?;
        Ok(Self { reader, writer })
    }

    pub(crate) fn signal(&self) -> io::Result<()> {
        match sys::write(self.writer.as_fd(), &[0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.empty()?;
                sys::write(self.writer.as_fd(), &[0]).map(drop)
            }
            written => written.map(drop),
        }
    }

    fn empty(&self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match sys::read(self.reader.as_fd(), sys::room(&mut buffer)) {
                Ok(read) if read == buffer.len() => {}
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn read_end(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
