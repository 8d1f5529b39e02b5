//! Sending files to sockets without copying them through user space.

use std::io;
use std::os::fd::BorrowedFd;

use crate::sys;

/// Sends up to `count` bytes of `file`, from `offset` on, in one system call (`sendfile(2)`). The
/// file's own position is neither used nor moved.
///
/// `Some(0)` is the end of the file, `None` a socket that is full.
///
/// # Errors
///
/// Those of `sendfile(2)`: `EINVAL` above all if `file` is of a kind that cannot be sent like this;
/// `ENOSYS` on systems without this form of the call. If no bytes have gone yet, the host can read
/// and send them itself.
pub fn try_sendfile(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> io::Result<Option<usize>> {
    sys::sendfile(socket, file, offset, count)
}
