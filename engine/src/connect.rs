//! Connecting without blocking.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::address::Address;
use crate::sys;

/// What became of an attempt to connect.
#[derive(Debug)]
pub enum Connect {
    /// Connected on the spot, as Unix sockets are.
    Done,
    /// Under way. The socket becomes writable when it is decided; then ask [`take_error`].
    Started,
    /// Refused on the spot. `EAGAIN` from a Unix socket means a full backlog: nothing is under way.
    Failed(io::Error),
}

/// Connects a non-blocking socket to `address` (`connect(2)`).
///
/// A signal does not stop a connect: it goes on in the background, so `EINTR` is
/// [`Connect::Started`].
pub fn connect(socket: BorrowedFd<'_>, address: &Address) -> Connect {
    let Err(error) = address.to_any().and_then(|address| sys::connect(socket, &address)) else {
        return Connect::Done;
    };
    match Errno::from_io_error(&error) {
        Some(Errno::INPROGRESS | Errno::INTR | Errno::ALREADY) => Connect::Started,
        _ => Connect::Failed(error),
    }
}

/// Takes the error a socket has pending (`SO_ERROR`, `socket(7)`): how a started connect ended.
///
/// # Errors
///
/// The pending error, `ECONNREFUSED` and so on; `EBADF`, `ENOTSOCK`.
pub fn take_error(socket: BorrowedFd<'_>) -> io::Result<()> {
    sys::socket_error(socket)
}
