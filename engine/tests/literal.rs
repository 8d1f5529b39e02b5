//! Literal addresses: exactly those of `inet_pton`, and only for sockets a loop makes.
#![allow(clippy::expect_used, reason = "a test may fail")]

use std::ffi::{CString, c_char, c_int, c_void};

use ferroloop_engine::{Literal, literal};
use libc::{
    AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, SOCK_DGRAM,
    SOCK_RAW, SOCK_STREAM,
};
use proptest::prelude::*;

unsafe extern "C" {
    /// `inet_pton(3)`.
    fn inet_pton(family: c_int, host: *const c_char, address: *mut c_void) -> c_int;
}

fn stream(host: &str, family: i32) -> Option<i32> {
    literal(host, family, SOCK_STREAM, 0).map(|literal| literal.family)
}

/// The C library's verdict, from which ours must not differ.
fn is_address(family: i32, host: &str) -> bool {
    let Ok(host) = CString::new(host) else {
        return false;
    };
    let mut address = [0_u8; 16];
    // SAFETY: the string ends with a zero, and 16 bytes hold an address of either family.
    unsafe { inet_pton(family, host.as_ptr(), address.as_mut_ptr().cast()) == 1 }
}

/// S13.7: an open family means IPv4 before IPv6.
#[test]
fn addresses_are_recognised_by_family() {
    for (host, family) in [
        ("127.0.0.1", AF_INET),
        ("0.0.0.0", AF_INET),
        ("255.255.255.255", AF_INET),
        ("::", AF_INET6),
        ("::1", AF_INET6),
        ("2001:db8::8:800:200c:417a", AF_INET6),
        ("::ffff:192.0.2.1", AF_INET6),
    ] {
        let other = if family == AF_INET { AF_INET6 } else { AF_INET };
        assert_eq!(stream(host, AF_UNSPEC), Some(family), "{host}");
        assert_eq!(stream(host, family), Some(family), "{host}");
        assert_eq!(stream(host, other), None, "{host}");
        assert_eq!(stream(host, AF_UNIX), None, "{host}");
    }
}

/// S13.4.
#[test]
fn everything_else_is_declined() {
    for host in [
        "",
        "localhost",
        "127.1",
        "127.0.0",
        "0127.0.0.1",
        "127.0.0.01",
        "0x7f.0.0.1",
        "2130706433",
        "256.0.0.1",
        "1.2.3.4.",
        " 1.2.3.4",
        "1.2.3.4 ",
        "1.2.3.4\0",
        "fe80::1%lo",
        "fe80::1%1",
        "::1%",
        "1::2::3",
        "12345::",
        ":::",
        "1:2:3:4:5:6:7",
        "[::1]",
        "::1.2.3",
        "１.2.3.4",
    ] {
        assert_eq!(stream(host, AF_UNSPEC), None, "{host:?}");
    }
}

/// S13.6: the protocol follows from the kind of socket, not from what was asked.
#[test]
fn the_protocol_follows_from_the_kind() {
    for asked in [0, IPPROTO_TCP, IPPROTO_UDP] {
        let tcp = Literal { family: AF_INET, proto: IPPROTO_TCP };
        let udp = Literal { family: AF_INET, proto: IPPROTO_UDP };
        assert_eq!(literal("1.2.3.4", AF_UNSPEC, SOCK_STREAM, asked), Some(tcp));
        assert_eq!(literal("1.2.3.4", AF_UNSPEC, SOCK_DGRAM, asked), Some(udp));
    }
    assert_eq!(literal("1.2.3.4", AF_UNSPEC, SOCK_STREAM, IPPROTO_ICMP), None);
    assert_eq!(literal("1.2.3.4", AF_UNSPEC, SOCK_RAW, 0), None);
    assert_eq!(literal("1.2.3.4", AF_UNSPEC, 0, 0), None);
}

#[test]
fn only_ipv6_carries_a_scope() {
    assert!(literal("::1", AF_UNSPEC, SOCK_STREAM, 0).expect("literal").is_v6());
    assert!(!literal("1.2.3.4", AF_UNSPEC, SOCK_STREAM, 0).expect("literal").is_v6());
}

/// Nearly addresses: a true one with a stroke of the pen.
fn nearly() -> impl Strategy<Value = String> {
    let v4 = any::<[u8; 4]>().prop_map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
    let v6 = any::<[u16; 8]>().prop_map(|groups| std::net::Ipv6Addr::from(groups).to_string());
    let pen = prop::sample::select(vec!['0', '1', '9', 'a', 'F', 'g', ':', '.', '%', ' ', '-']);
    (prop_oneof![v4, v6], any::<prop::sample::Index>(), prop::option::of(pen), any::<bool>())
        .prop_map(|(mut host, at, pen, replace)| {
            let at = at.index(host.len());
            if replace {
                host.remove(at);
            }
            if let Some(pen) = pen {
                host.insert(at.min(host.len()), pen);
            }
            host
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn agrees_with_the_c_library(host in prop_oneof![
        "[0-9a-fA-F:.]{0,24}", "[0-9]{1,4}(\\.[0-9]{1,4}){3}", "([0-9a-f]{0,5}:){1,8}[0-9a-f.]{0,9}",
        nearly(),
    ]) {
        for family in [AF_INET, AF_INET6] {
            prop_assert_eq!(stream(&host, family).is_some(), is_address(family, &host), "{}", host);
        }
    }
}
