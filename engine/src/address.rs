//! Socket addresses, as a host shows them.

use std::io;
use std::net::{SocketAddrV4, SocketAddrV6};
use std::os::fd::BorrowedFd;

use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

use crate::sys;

/// Whether the system has Unix names that are no paths.
const ABSTRACT_NAMES: bool = cfg!(any(target_os = "linux", target_os = "android"));

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

    /// The address of a peer, which may have none to give.
    pub(crate) fn from_option(address: Option<SocketAddrAny>) -> Self {
        address.map_or(Self::Other, Self::from_any)
    }

    pub(crate) fn from_any(address: SocketAddrAny) -> Self {
        let known = match address.address_family() {
            AddressFamily::INET => address.try_into().map(Self::V4),
            AddressFamily::INET6 => address.try_into().map(Self::V6),
            AddressFamily::UNIX => Ok(Self::from_unix(sys::unix_name(&address))),
            _ => Ok(Self::Other),
        };
        known.unwrap_or(Self::Other)
    }

    /// Takes a `sun_path` apart (`unix(7)`): nothing, a zero and a name, or a path, which ends at
    /// its first zero or with the field.
    fn from_unix(name: &[u8]) -> Self {
        match name {
            [0, name @ ..] if ABSTRACT_NAMES => Self::Abstract(name.to_vec()),
            [] | [0, ..] => Self::Unnamed,
            path => Self::Path(path.split(|&byte| byte == 0).next().unwrap_or_default().to_vec()),
        }
    }

    /// Sends a datagram to this address. The common kinds need no detour by
    /// [`to_any`](Self::to_any).
    #[inline]
    pub(crate) fn send(&self, socket: BorrowedFd<'_>, data: &[u8]) -> io::Result<Option<usize>> {
        match self {
            Self::V4(address) => sys::send_to(socket, data, address),
            Self::V6(address) => sys::send_to(socket, data, address),
            _ => sys::send_to(socket, data, &self.to_any()?),
        }
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
