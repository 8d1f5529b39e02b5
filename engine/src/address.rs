//! Socket addresses, as a host shows them.

use std::io;
use std::net::{SocketAddrV4, SocketAddrV6};
use std::os::fd::BorrowedFd;

use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

use crate::sys;

/// The address of a socket or of its peer.
///
/// asyncio's words: the local one is a transport's `sockname`, the other its `peername`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 (`ip(7)`).
    V4(SocketAddrV4),
    /// IPv6 (`ipv6(7)`), flow information in host order.
    V6(SocketAddrV6),
    /// A Unix socket bound to a path (`unix(7)`), without the terminating zero.
    Path(Vec<u8>),
    /// A Unix socket bound to a Linux abstract name, without the leading zero.
    Abstract(Vec<u8>),
    /// A Unix socket that is bound to nothing.
    Unnamed,
    /// A family this crate does not know; the host may ask the system itself.
    Other,
}

impl Address {
    /// The local address of a socket, as `getsockname(2)` tells it.
    ///
    /// # Errors
    ///
    /// `EBADF`, `ENOTSOCK`, `ENOBUFS`.
    pub fn of_socket(fd: BorrowedFd<'_>) -> io::Result<Self> {
        sys::socket_name(fd).map(Self::from_any)
    }

    /// The address of a socket's peer, as `getpeername(2)` tells it.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if there is no peer (any more); `EBADF`, `ENOTSOCK`, `ENOBUFS`.
    pub fn of_peer(fd: BorrowedFd<'_>) -> io::Result<Self> {
        sys::peer_name(fd).map(Self::from_option)
    }

    /// A peer that gave no address at all is an unbound Unix socket on some systems.
    pub(crate) fn from_option(address: Option<SocketAddrAny>) -> Self {
        address.map_or(Self::Other, Self::from_any)
    }

    fn from_any(address: SocketAddrAny) -> Self {
        let known = match address.address_family() {
            AddressFamily::INET => SocketAddrV4::try_from(address).map(Self::V4),
            AddressFamily::INET6 => SocketAddrV6::try_from(address).map(Self::V6),
            AddressFamily::UNIX => SocketAddrUnix::try_from(address).map(Self::from_unix),
            _ => return Self::Other,
        };
        known.unwrap_or(Self::Other)
    }

    #[expect(clippy::needless_pass_by_value, reason = "the shape of a conversion")]
    fn from_unix(address: SocketAddrUnix) -> Self {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = address.abstract_name() {
            return Self::Abstract(name.to_vec());
        }
        address
            .path_bytes()
            .map_or(Self::Unnamed, |path| Self::Path(path.to_vec()))
    }

    /// The kernel's form.
    ///
    /// # Errors
    ///
    /// `ENAMETOOLONG` for a Unix name that does not fit, `EAFNOSUPPORT` for [`Address::Other`].
    pub(crate) fn to_any(&self) -> io::Result<SocketAddrAny> {
        use rustix::io::Errno;
        Ok(match self {
            Self::V4(address) => (*address).into(),
            Self::V6(address) => (*address).into(),
            Self::Path(path) => SocketAddrUnix::new(path.as_slice())?.into(),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name)?.into(),
            _ => return Err(Errno::AFNOSUPPORT.into()),
        })
    }
}
