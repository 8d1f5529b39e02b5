//! Descriptors that travel with messages (`unix(7)`, `SCM_RIGHTS`).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::sys;

/// Has `recvmsg(2)` see to it that no program started later inherits what it receives.
#[cfg(not(target_vendor = "apple"))]
pub const RECEIVE_CLOEXEC: i32 = libc::MSG_CMSG_CLOEXEC;

/// macOS has no such flag.
#[cfg(target_vendor = "apple")]
pub const RECEIVE_CLOEXEC: i32 = 0;

/// Of linux/socket.h; libc does not have it for every C library.
const SCM_PIDFD: i32 = 4;

/// Whether an item of ancillary data consists of descriptors.
pub const fn is_rights(level: i32, kind: i32) -> bool {
    level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS
}

/// Whether an item that came in consists of descriptors: rights, and the sender's pidfd where
/// `SO_PASSPIDFD` is set (Linux 6.5).
pub const fn brings_descriptors(level: i32, kind: i32) -> bool {
    is_rights(level, kind)
        || (cfg!(target_os = "linux") && level == libc::SOL_SOCKET && kind == SCM_PIDFD)
}

/// The numbers in the content of such an item. A piece of a number at the end is none, as for the
/// kernel.
pub fn descriptors(content: &[u8]) -> impl Iterator<Item = RawFd> {
    let (numbers, _) = content.as_chunks();
    numbers.iter().map(|&number| RawFd::from_ne_bytes(number))
}

/// Descriptors of a message that waits: the giver may close his own meanwhile.
#[derive(Debug)]
pub struct Rights(Vec<OwnedFd>);

impl Rights {
    /// Duplicates what is in the content of an item.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(2)`: `EBADF`, `EMFILE`.
    pub fn of(content: &[u8]) -> io::Result<Self> {
        descriptors(content).map(sys::duplicate).collect::<io::Result<_>>().map(Self)
    }

    /// The content of the item with these descriptors in it.
    pub fn content(&self) -> Vec<u8> {
        self.0.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()).collect()
    }
}
