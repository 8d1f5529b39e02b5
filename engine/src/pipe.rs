//! Descriptors given as pipes: what they really are.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

use crate::sys;

/// Apple's kernels and Solaris call the writing end of a named FIFO readable whenever bytes wait in
/// it, and say nothing when its reader goes. A pipe without a name counts no links there (on Linux
/// it counts one).
const MISFIRES: bool = cfg!(any(target_vendor = "apple", target_os = "solaris"));

/// What can be read or written like a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeKind {
    /// A pipe, with a name in the file system or without one.
    Pipe,
    /// A named pipe where the kernel has nothing true to say about its readers.
    BlindFifo,
    /// A socket.
    Socket,
    /// A terminal, or another device that gives and takes characters.
    CharacterDevice,
}

impl PipeKind {
    /// What `fd` is; `None` for a regular file, a directory, a block device...
    ///
    /// # Errors
    ///
    /// `EBADF` of `fstat(2)`.
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        let (file_type, links) = sys::file_type(fd)?;
        Ok(match file_type {
            FileType::Fifo if MISFIRES && links > 0 => Some(Self::BlindFifo),
            FileType::Fifo => Some(Self::Pipe),
            FileType::Socket => Some(Self::Socket),
            FileType::CharacterDevice => Some(Self::CharacterDevice),
            _ => None,
        })
    }

    /// Whether the writing end turns readable when nobody can read any more, and only then (S31.4).
    ///
    /// A device has no readers to lose.
    pub const fn tells_of_lost_reader(self) -> bool {
        match self {
            Self::Pipe | Self::Socket => true,
            Self::BlindFifo | Self::CharacterDevice => false,
        }
    }
}
