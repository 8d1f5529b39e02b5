//! Socket addresses in the shapes the `socket` module gives them.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use ferroloop_engine::{Address, borrow_fd};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};

use crate::{ffi, names};

/// The largest flow label: 20 bits (RFC 8200).
const MAX_FLOW: u32 = 0xf_ffff;

/// The longest Unix name that every system has room for (`unix(7)`).
const MAX_PATH: usize = 100;

/// The families whose addresses have a native form here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
    Unix,
    Foreign,
}

impl Family {
    /// That of an open socket.
    pub(crate) fn of(fd: RawFd) -> std::io::Result<Self> {
        Ok(match Address::of_socket(borrow_fd(fd)?)? {
            Address::V4(_) => Self::V4,
            Address::V6(_) => Self::V6,
            Address::Path(_) | Address::Abstract(_) | Address::Unnamed => Self::Unix,
            Address::Other => Self::Foreign,
        })
    }
}

/// A tuple for IPv4 and IPv6, a path or abstract name for Unix sockets; None for other families.
pub(crate) fn address_to_python<'py>(
    py: Python<'py>,
    address: &Address,
) -> PyResult<Bound<'py, PyAny>> {
    match address {
        Address::V4(v4) => Ok((v4.ip().to_string(), v4.port()).into_pyobject(py)?.into_any()),
        Address::V6(v6) => {
            let tuple = (v6_text(py, *v6.ip())?, v6.port(), v6.flowinfo(), v6.scope_id());
            Ok(tuple.into_pyobject(py)?.into_any())
        }
        Address::Path(path) => Ok(OsStr::from_bytes(path).into_pyobject(py)?.into_any()),
        Address::Abstract(name) => {
            ffi::bytes_of(py, &[b"\0", name.as_slice()].concat()).map(Bound::into_any)
        }
        Address::Unnamed => Ok("".into_pyobject(py)?.into_any()),
        Address::Other => Ok(py.None().into_bound(py)),
    }
}

/// As `inet_ntop(3)` writes it, which differs between systems where an IPv4 address may be in it.
fn v6_text(py: Python<'_>, ip: Ipv6Addr) -> PyResult<String> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => {
            let family = names::address_family(py)?.getattr(intern!(py, "AF_INET6"))?;
            names::inet_ntop(py)?.call1((family, ip.octets()))?.extract()
        }
        _ => Ok(ip.to_string()),
    }
}

/// The native form of an address; None for what Python has to look up, or to complain about.
///
/// Only exact types are taken, which nobody can change afterwards.
pub(crate) fn address_from_python(family: Family, object: &Bound<'_, PyAny>) -> Option<Address> {
    match family {
        Family::V4 => v4(object.cast_exact::<PyTuple>().ok()?).map(Address::V4),
        Family::V6 => v6(object.cast_exact::<PyTuple>().ok()?).map(Address::V6),
        Family::Unix => unix(object),
        Family::Foreign => None,
    }
}

fn v4(tuple: &Bound<'_, PyTuple>) -> Option<SocketAddrV4> {
    if tuple.len() != 2 {
        return None;
    }
    let ip: Ipv4Addr = host(tuple)?.to_str().ok()?.parse().ok()?;
    Some(SocketAddrV4::new(ip, number(tuple, 1)?))
}

fn v6(tuple: &Bound<'_, PyTuple>) -> Option<SocketAddrV6> {
    let length = tuple.len();
    if !(2..=4).contains(&length) {
        return None;
    }
    let ip: Ipv6Addr = host(tuple)?.to_str().ok()?.parse().ok()?;
    let flow = if length > 2 { number(tuple, 2)? } else { 0 };
    let scope = if length > 3 { number(tuple, 3)? } else { 0 };
    (flow <= MAX_FLOW).then_some(SocketAddrV6::new(ip, number(tuple, 1)?, flow, scope))
}

fn host<'py>(tuple: &Bound<'py, PyTuple>) -> Option<Bound<'py, PyString>> {
    tuple.get_item(0).ok()?.cast_into_exact().ok()
}

fn number<'py, T: FromPyObjectOwned<'py>>(tuple: &Bound<'py, PyTuple>, index: usize) -> Option<T> {
    tuple.get_item(index).ok()?.cast_exact::<PyInt>().ok()?.extract().ok()
}

fn unix(name: &Bound<'_, PyAny>) -> Option<Address> {
    let name = match name.cast_exact::<PyBytes>() {
        Ok(name) => name.as_bytes().to_vec(),
        Err(_) => name.cast_exact::<PyString>().ok()?.extract::<OsString>().ok()?.into_vec(),
    };
    match name.as_slice() {
        [] => None,
        _ if name.len() > MAX_PATH => None,
        [0, abstract_name @ ..] => Some(Address::Abstract(abstract_name.to_vec())),
        path if path.contains(&0) => None,
        _ => Some(Address::Path(name)),
    }
}
