//! Plain descriptors: numbers from outside, pipes, reading and writing.

#![allow(unsafe_code, reason = "a descriptor number from outside is borrowed here, and a buffer")]

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::ptr;

use rustix::fs::FileType;
use rustix::io::Errno;

/// Bytes per read of a pipe that is drained (S0.32; asyncio reads its self-pipe in the same
/// portions).
const PORTION: usize = 4096;

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

/// Another descriptor of the same open file, closed on exec.
pub(crate) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(borrow_fd(number)?, 0)?)
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

/// `fstat(2)`: the type of the open file, and how many names it has.
pub(crate) fn file_type(fd: BorrowedFd<'_>) -> io::Result<(FileType, u64)> {
    let stat = rustix::fs::fstat(fd)?;
    #[allow(clippy::useless_conversion, reason = "the field's type differs between systems")]
    let links = u64::from(stat.st_nlink);
    Ok((FileType::from_raw_mode(stat.st_mode), links))
}

/// Makes reads and writes of the open file answer `EAGAIN` instead of blocking: for `fd`, and for
/// every other descriptor of the same file, since the mode is the file's (S30.2).
///
/// # Errors
///
/// `EBADF` of `ioctl(2)`.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, true)?)
}

/// What a call has done; `None` where it would have to wait.
///
/// A call that a signal interrupts was waiting, because another owner of the open file has made it
/// a blocking one (`O_NONBLOCK` is shared with children). It found nothing, then: the poller will
/// ask again, and in between the signal's handlers run.
#[inline]
pub(super) fn none_if_not_ready<T>(outcome: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// `read(2)`. Zero is end of file, `None` is empty.
pub(crate) fn read(fd: BorrowedFd<'_>, room: &mut [MaybeUninit<u8>]) -> io::Result<Option<usize>> {
    none_if_not_ready(rustix::io::read(fd, room).map(|(filled, _)| filled.len()))
}

/// Reads until a pipe is empty, and shows each portion to `visit`.
pub(crate) fn drain(fd: BorrowedFd<'_>, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
    let mut portion = [0; PORTION];
    while let Some(length) = read(fd, room(&mut portion))? {
        visit(portion.get(..length).unwrap_or_default());
        if length < PORTION {
            break;
        }
    }
    Ok(())
}

/// Lends initialised bytes as room for `read` and `recv`, which only write.
#[inline]
pub(crate) fn room(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    let room = ptr::from_mut(bytes) as *mut [MaybeUninit<u8>];
    // SAFETY: the same memory for the same time. It stays initialised, because those who get it in
    // here hand it to the kernel, which writes bytes and nothing else.
    unsafe { &mut *room }
}

/// `write(2)`. `None` is full.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<Option<usize>> {
    none_if_not_ready(rustix::io::write(fd, bytes))
}

/// `writev(2)` of several buffers at once.
pub(crate) fn write_gathered(
    fd: BorrowedFd<'_>,
    buffers: &[IoSlice<'_>],
) -> io::Result<Option<usize>> {
    none_if_not_ready(rustix::io::writev(fd, buffers))
}
