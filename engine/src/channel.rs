//! Channels: which system calls carry a stream's bytes, and which way they go.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use crate::sys;

/// What a stream's descriptor is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Both ways: `recv(2)`, `send(2)`, `shutdown(2)`. A peer that has gone answers with `EPIPE`
    /// and never with `SIGPIPE`.
    Socket,
    /// In only, by `read(2)`: a pipe, a terminal, or a socket used like one.
    ReadEnd,
    /// Out only, by `write(2)`, which has no flag against `SIGPIPE`: a host that writes to pipes
    /// must ignore the signal, as Rust's and Python's programs do from their start (S31.23).
    ///
    /// *Reading* such a stream means to watch for the readers' end: the writing end of a pipe
    /// turns readable when the last of them has gone.
    WriteEnd,
}

impl Channel {
    #[inline]
    pub(crate) fn recv(
        self,
        fd: BorrowedFd<'_>,
        room: &mut [MaybeUninit<u8>],
    ) -> io::Result<Option<usize>> {
        match self {
            Self::Socket => sys::recv(fd, room),
            Self::ReadEnd | Self::WriteEnd => sys::read(fd, room),
        }
    }

    #[inline]
    pub(crate) fn send(self, fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Socket => sys::send(fd, bytes),
            Self::ReadEnd | Self::WriteEnd => sys::write(fd, bytes),
        }
    }

    pub(crate) fn send_gathered(
        self,
        fd: BorrowedFd<'_>,
        buffers: &[IoSlice<'_>],
    ) -> io::Result<Option<usize>> {
        match self {
            Self::Socket => sys::send_gathered(fd, buffers),
            Self::ReadEnd | Self::WriteEnd => sys::write_gathered(fd, buffers),
        }
    }
}
