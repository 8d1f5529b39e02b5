//! Plain descriptors: numbers from outside, pipes, reading and writing.

#![allow(unsafe_code, reason = "a descriptor number from outside is borrowed here")]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::{Errno, retry_on_intr};

/// Borrows a descriptor by a number that came from outside, for the length of a system call.
///
/// The number may belong to nothing, or to something else than its giver believes: programs close
/// descriptors behind the loop's back. Every call made with it must therefore take the kernel's
/// answer (`EBADF`, `ENOENT`...) as the truth, and none may close it.
///
/// # Errors
///
/// `EBADF` if the number is negative.
#[inline]
pub fn borrow_fd<'fd>(number: RawFd) -> io::Result<BorrowedFd<'fd>> {
    if number < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: the number is not -1, the one value `BorrowedFd` may not hold. Whether it is open is
    // for the kernel to say: it is only passed to system calls, which answer EBADF if it is not.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Whether a number is an open descriptor: `EBADF` if not.
pub(crate) fn check_open(number: RawFd) -> io::Result<()> {
    rustix::io::fcntl_getfd(borrow_fd(number)?)?;
    Ok(())
}

/// A pipe, both ends non-blocking and closed on exec: (read end, write end).
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(not(target_vendor = "apple"))]
    {
        use rustix::pipe::{PipeFlags, pipe_with};
        Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
    }
    #[cfg(target_vendor = "apple")]
    {
        let (reader, writer) = rustix::pipe::pipe()?;
        for end in [&reader, &writer] {
            rustix::io::ioctl_fioclex(end)?;
            rustix::io::ioctl_fionbio(end, true)?;
        }
        Ok((reader, writer))
    }
}

/// `read(2)`, retried when a signal interrupts it. Zero is end of file, `WouldBlock` is empty.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::read(fd, &mut *buffer))?)
}

/// `write(2)`, retried when a signal interrupts it.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::write(fd, bytes))?)
}
