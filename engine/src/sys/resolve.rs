//! `getaddrinfo(3)`, which blocks.

#![allow(
    unsafe_code,
    reason = "the C library's resolver is called here, which rustix does not have"
)]

use std::ffi::{CStr, CString};
use std::{io, iter, mem, ptr};

use libc::addrinfo;
use rustix::net::SocketAddrAny;

use crate::address::Address;
use crate::resolver::{AddressInfo, LookupError, Query};

/// Asks the C library, and waits for its answer.
pub(crate) fn getaddrinfo(query: &Query) -> Result<Vec<AddressInfo>, LookupError> {
    // SAFETY: numbers and pointers, of which zero and null are values.
    let mut hints: addrinfo = unsafe { mem::zeroed() };
    hints.ai_family = query.family;
    hints.ai_socktype = query.kind;
    hints.ai_protocol = query.proto;
    hints.ai_flags = query.flags;
    let (host, port) = (pointer(query.host.as_deref()), pointer(query.port()));
    let mut first = ptr::null_mut();
    // SAFETY: the texts end with a zero; they, the hints and the place for the answer outlive the
    // call.
    let code = unsafe { libc::getaddrinfo(host, port, &raw const hints, &raw mut first) };
    if code != 0 {
        return Err(error(code));
    }
    Ok(List(first).iter().map(to_info).collect())
}

fn pointer(text: Option<&CStr>) -> *const libc::c_char {
    text.map_or(ptr::null(), CStr::as_ptr)
}

/// What the number means, as `gai_strerror(3)` words it.
fn error(code: i32) -> LookupError {
    if code == libc::EAI_SYSTEM {
        return LookupError::System(io::Error::last_os_error());
    }
    // SAFETY: any number is allowed.
    let text = unsafe { libc::gai_strerror(code) };
    LookupError::Resolver(code, copy(text).to_string_lossy().into_owned())
}

/// A text of the C library's; null is none.
fn copy(text: *const libc::c_char) -> CString {
    if text.is_null() {
        return CString::default();
    }
    // SAFETY: not null, so it is a text that ends with a zero; it is copied before anything frees
    // it.
    unsafe { CStr::from_ptr(text) }.to_owned()
}

fn to_info(info: &addrinfo) -> AddressInfo {
    AddressInfo {
        family: info.ai_family,
        kind: info.ai_socktype,
        proto: info.ai_protocol,
        canonname: copy(info.ai_canonname).into_bytes(),
        address: address(info),
    }
}

fn address(info: &addrinfo) -> Address {
    if info.ai_addr.is_null() {
        return Address::Other;
    }
    // SAFETY: so many bytes of a socket address are there, by getaddrinfo(3).
    Address::from_any(unsafe { SocketAddrAny::read(info.ai_addr.cast(), info.ai_addrlen) })
}

/// What `getaddrinfo` has found, until it is freed.
struct List(*mut addrinfo);

impl List {
    fn iter(&self) -> impl Iterator<Item = &addrinfo> {
        iter::successors(self.at(self.0), |info| self.at(info.ai_next))
    }

    #[expect(clippy::unused_self, reason = "its members live as long as the list")]
    fn at(&self, info: *mut addrinfo) -> Option<&addrinfo> {
        // SAFETY: null, or a member of this list, which lives until the list is dropped.
        unsafe { info.as_ref() }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: from `getaddrinfo`, and freed once.
            unsafe { libc::freeaddrinfo(self.0) }
        }
    }
}
