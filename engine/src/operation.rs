//! Operations on a socket that belongs to the host's user: each is one system call, never waits,
//! and says `None` where it would have to.
//!
//! The socket need not be non-blocking: a call must not hold up the loop because its owner forgot.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use crate::sys;

/// Receives what is there, at most the buffer's length (`recv(2)`). `Some(0)` is the end of the
/// stream, or an empty datagram.
///
/// # Errors
///
/// Those of `recv(2)`.
#[inline]
pub fn try_recv(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    sys::recv(socket, sys::room(buffer))
}

/// As [`try_recv`], into uninitialised memory: clearing a large buffer costs too much. As many
/// bytes as the answer says are initialised afterwards.
///
/// # Errors
///
/// Those of `recv(2)`.
pub fn try_recv_uninit(
    socket: BorrowedFd<'_>,
    buffer: &mut [MaybeUninit<u8>],
) -> io::Result<Option<usize>> {
    sys::recv(socket, buffer)
}
