//! Socket calls: each one a system call.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::addr::{SocketAddrArg, SocketAddrStorage};
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny};

use super::fd::none_if_not_ready;

/// Sockets of the host's user may be blocking ones, by mistake; the loop must not stand still. A
/// call that does not wait is not interrupted by signals either.
const RECV_FLAGS: RecvFlags = RecvFlags::DONTWAIT;

/// A peer that has gone must answer with `EPIPE`, not kill the process by `SIGPIPE`. Apple has no
/// such flag; there the host ignores the signal, as Python does.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT;

/// `recv(2)` into memory that need not be initialised; so much of it is then. Zero is end of file,
/// `None` is empty.
#[inline]
pub(crate) fn recv(fd: BorrowedFd<'_>, room: &mut [MaybeUninit<u8>]) -> io::Result<Option<usize>> {
    none_if_not_ready(net::recv(fd, room, RECV_FLAGS).map(|(_, received)| received))
}

/// `send(2)` without `SIGPIPE`. `None` is full.
#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<Option<usize>> {
    none_if_not_ready(net::send(fd, bytes, SEND_FLAGS))
}

/// `recvfrom(2)`: how much, and the sender's address if it has one to tell. `None` is empty.
#[inline]
pub(crate) fn recv_from(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, Option<SocketAddrAny>)>> {
    let outcome = net::recvfrom(fd, buffer, RECV_FLAGS);
    none_if_not_ready(outcome.map(|(received, _, sender)| (received, sender)))
}

/// `sendto(2)` without `SIGPIPE`. `None` is full.
#[inline]
pub(crate) fn send_to(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    address: &impl SocketAddrArg,
) -> io::Result<Option<usize>> {
    none_if_not_ready(net::sendto(fd, bytes, SEND_FLAGS, address))
}

/// `sendmsg(2)` of several buffers at once, without `SIGPIPE`. `None` is full.
pub(crate) fn send_gathered(
    fd: BorrowedFd<'_>,
    buffers: &[IoSlice<'_>],
) -> io::Result<Option<usize>> {
    let mut control = SendAncillaryBuffer::default();
    none_if_not_ready(net::sendmsg(fd, buffers, &mut control, SEND_FLAGS))
}

/// `sendfile(2)` from a given offset, which has this form on Linux alone. `None` is full.
pub(crate) fn sendfile(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> io::Result<Option<usize>> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let mut offset = offset;
        none_if_not_ready(rustix::fs::sendfile(socket, file, Some(&mut offset), count))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (socket, file, offset, count);
        Err(rustix::io::Errno::NOSYS.into())
    }
}

/// `shutdown(2)` of the sending side.
pub(crate) fn shutdown_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(net::shutdown(fd, Shutdown::Write)?)
}

/// `accept4(2)`: the connection, non-blocking and closed on exec, and the peer's address if it has
/// one to tell. `None`: nobody is waiting.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<Option<(OwnedFd, Option<SocketAddrAny>)>> {
    #[cfg(not(target_vendor = "apple"))]
    {
        use rustix::net::SocketFlags;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        none_if_not_ready(net::acceptfrom_with(fd, flags))
    }
    #[cfg(target_vendor = "apple")]
    {
        let accepted = none_if_not_ready(net::acceptfrom(fd))?;
        if let Some((connection, _)) = &accepted {
            rustix::io::ioctl_fioclex(connection)?;
            rustix::io::ioctl_fionbio(connection, true)?;
        }
        Ok(accepted)
    }
}

/// `connect(2)`. Not retried: an interrupted connect goes on in the background.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &SocketAddrAny) -> io::Result<()> {
    Ok(net::connect(fd, address)?)
}

/// `getsockopt(2)` of `SO_ERROR`: the pending error, which is cleared by asking.
pub(crate) fn socket_error(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(net::sockopt::socket_error(fd)??)
}

/// Sends small writes at once instead of gathering them (`TCP_NODELAY`, `tcp(7)`), as asyncio has
/// it for every TCP connection (S16.3).
///
/// # Errors
///
/// `ENOPROTOOPT` or `EOPNOTSUPP` if the socket is not TCP, `EINVAL` if the peer has reset it
/// already (on some systems).
pub fn set_nodelay(connection: BorrowedFd<'_>) -> io::Result<()> {
    Ok(net::sockopt::set_tcp_nodelay(connection, true)?)
}

/// `getsockname(2)`.
pub(crate) fn socket_name(fd: BorrowedFd<'_>) -> io::Result<SocketAddrAny> {
    Ok(net::getsockname(fd)?)
}

/// The `sun_path` of a Unix address, as long as the kernel says it is.
///
/// Not by way of `SocketAddrUnix`, which takes an unnamed socket for an abstract one and panics on
/// a path that fills the field to its last byte, as a peer is free to choose.
#[allow(unsafe_code, reason = "the address is read as the bytes it consists of")]
pub(crate) fn unix_name(address: &SocketAddrAny) -> &[u8] {
    // Family and, on the BSDs, length: two bytes either way.
    const HEADER: usize = 2;
    let len = usize::try_from(address.addr_len()).unwrap_or(0).min(size_of::<SocketAddrStorage>());
    // SAFETY: the kernel has initialised `addr_len` bytes of the storage, which the minimum keeps
    // within, and the borrow keeps it alive.
    let bytes = unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), len) };
    bytes.get(HEADER..).unwrap_or_default()
}
