//! Literal addresses, answered without asking anybody.
//!
//! `getaddrinfo` blocks, so a loop runs it in a thread. A host that is an address already needs
//! neither (S13.3). Everything else, scoped addresses and service names included, is declined.

use std::net::{Ipv4Addr, Ipv6Addr};

use rustix::net::{AddressFamily, SocketType, ipproto};

/// A host that was an address: what a lookup would have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    /// `AF_INET` or `AF_INET6`.
    pub family: i32,
    /// `IPPROTO_TCP` for a stream, `IPPROTO_UDP` for datagrams, whatever was asked (S13.6).
    pub proto: i32,
}

impl Literal {
    /// Whether its socket addresses carry flow information and a scope.
    pub fn is_v6(self) -> bool {
        self.family == INET6
    }
}

const UNSPEC: i32 = AddressFamily::UNSPEC.as_raw() as i32;
const INET: i32 = AddressFamily::INET.as_raw() as i32;
const INET6: i32 = AddressFamily::INET6.as_raw() as i32;
const STREAM: i32 = SocketType::STREAM.as_raw().cast_signed();
const DATAGRAM: i32 = SocketType::DGRAM.as_raw().cast_signed();
const TCP: i32 = ipproto::TCP.as_raw().get().cast_signed();
const UDP: i32 = ipproto::UDP.as_raw().get().cast_signed();

/// Answers a lookup of `host` if it is a literal address of an allowed family, trying IPv4 before
/// IPv6 if the family is open (S13.7).
///
/// `family`, `kind` and `proto` are the system's numbers, as `getaddrinfo(3)` takes them. None
/// means a real lookup is needed (S13.4): the host is not an address (by the rules of
/// `inet_pton(3)`, which knows no short and no octal forms), has a scope (`%`), is of another
/// family, or the socket is neither a TCP stream nor UDP datagrams.
pub fn literal(host: &str, family: i32, kind: i32, proto: i32) -> Option<Literal> {
    if ![0, TCP, UDP].contains(&proto) {
        return None;
    }
    let proto = match kind {
        STREAM => TCP,
        DATAGRAM => UDP,
        _ => return None,
    };
    if [UNSPEC, INET].contains(&family) && host.parse::<Ipv4Addr>().is_ok() {
        return Some(Literal { family: INET, proto });
    }
    // The standard library's parser knows no scopes, so a `%` declines by itself.
    if [UNSPEC, INET6].contains(&family) && host.parse::<Ipv6Addr>().is_ok() {
        return Some(Literal { family: INET6, proto });
    }
    None
}
