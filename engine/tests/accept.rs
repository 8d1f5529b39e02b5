//! Accepting, connecting, and the addresses of both ends.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use ferroloop_engine::{
    Accept, Address, Connect, accept, connect, set_nodelay, set_nonblocking, take_error,
};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, FdFlags, fcntl_getfd};
use rustix::net::sockopt::tcp_nodelay;
use rustix::net::{AddressFamily, SocketType, socket as socket_of};

fn listen(host: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((host, 0)).expect("bind");
    listener.set_nonblocking(true).expect("nonblocking");
    let address = listener.local_addr().expect("address");
    (listener, address)
}

fn accepted(listener: impl AsFd) -> (OwnedFd, Address) {
    match accept(listener.as_fd()) {
        Accept::Connection(connection, peer) => (connection, peer),
        other => panic!("{other:?}"),
    }
}

fn socket(family: AddressFamily) -> OwnedFd {
    let socket = socket_of(family, SocketType::STREAM, None).expect("socket");
    set_nonblocking(socket.as_fd()).expect("ioctl");
    socket
}

/// A path of this process's own, gone when the test is over.
struct SocketPath(PathBuf);

impl SocketPath {
    fn new(name: &str) -> Self {
        let name = format!("ferroloop-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn address(&self) -> Address {
        Address::Path(self.0.as_os_str().as_encoded_bytes().to_vec())
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn an_accepted_connection_does_not_block_and_is_not_inherited() {
    let (listener, address) = listen("127.0.0.1");
    assert!(matches!(accept(listener.as_fd()), Accept::WouldBlock));
    let client = TcpStream::connect(address).expect("connect");
    let (connection, peer) = accepted(&listener);
    assert!(fcntl_getfl(&connection).expect("flags").contains(OFlags::NONBLOCK));
    assert!(fcntl_getfd(&connection).expect("flags").contains(FdFlags::CLOEXEC));
    let SocketAddr::V4(from) = client.local_addr().expect("address") else { panic!("IPv4") };
    assert_eq!(peer, Address::V4(from));
    assert!(matches!(accept(listener.as_fd()), Accept::WouldBlock));
}

/// S20.5: an error of the listener itself keeps its number.
#[test]
fn what_cannot_accept_fails() {
    let (_listener, address) = listen("127.0.0.1");
    let client = TcpStream::connect(address).expect("connect");
    let Accept::Failed(error) = accept(client.as_fd()) else { panic!("not listening") };
    assert_eq!(Errno::from_io_error(&error), Some(Errno::INVAL));
}

/// S16.3.
#[test]
fn small_writes_go_at_once() {
    let (listener, address) = listen("127.0.0.1");
    let _client = TcpStream::connect(address).expect("connect");
    let (connection, _) = accepted(&listener);
    assert!(!tcp_nodelay(&connection).expect("option"));
    set_nodelay(connection.as_fd()).expect("option");
    assert!(tcp_nodelay(&connection).expect("option"));
    let (unix, _) = UnixStream::pair().expect("pair");
    set_nodelay(unix.as_fd()).expect_err("not TCP");
}

/// S16.4.
#[test]
fn both_ends_know_their_addresses() {
    let (listener, address) = listen("127.0.0.1");
    let client = TcpStream::connect(address).expect("connect");
    let (connection, peer) = accepted(&listener);
    assert_eq!(Address::of_socket(connection.as_fd()).expect("name"), v4(address));
    assert_eq!(Address::of_socket(client.as_fd()).expect("name"), peer);
}

fn v4(address: SocketAddr) -> Address {
    let SocketAddr::V4(address) = address else { panic!("IPv4") };
    Address::V4(address)
}

#[test]
fn ipv6_addresses_are_whole() {
    let (listener, address) = listen("::1");
    let _client = TcpStream::connect(address).expect("connect");
    let (_, peer) = accepted(&listener);
    let Address::V6(peer) = peer else { panic!("{peer:?}") };
    assert_eq!(*peer.ip(), Ipv6Addr::LOCALHOST);
    assert_eq!((peer.flowinfo(), peer.scope_id()), (0, 0));
    assert_ne!(peer.port(), 0);
}

#[test]
fn unix_addresses_are_paths_names_or_nothing() {
    let path = SocketPath::new("names");
    let listener = UnixListener::bind(&path.0).expect("bind");
    listener.set_nonblocking(true).expect("nonblocking");
    let _client = UnixStream::connect(&path.0).expect("connect");
    let (_connection, peer) = accepted(&listener);
    assert_eq!(peer, Address::Unnamed);
    assert_eq!(Address::of_socket(listener.as_fd()).expect("name"), path.address());
}

/// A peer may bind a path that leaves no room for the terminating zero.
#[cfg(target_os = "linux")]
#[test]
fn a_path_may_fill_the_whole_field() {
    use std::os::unix::ffi::OsStrExt;
    let directory = std::env::temp_dir().join(format!("ferroloop-{}-", std::process::id()));
    let mut name = directory.into_os_string().into_encoded_bytes();
    name.resize(108, b'x');
    let path = SocketPath(PathBuf::from(std::ffi::OsStr::from_bytes(&name)));
    let listener = socket(AddressFamily::UNIX);
    let address = rustix::net::SocketAddrUnix::new(&path.0).expect("108 bytes");
    rustix::net::bind(&listener, &address).expect("bind");
    assert_eq!(Address::of_socket(listener.as_fd()).expect("name"), Address::Path(name));
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_have_no_leading_zero() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr as UnixAddr;
    let name = format!("ferroloop-{}", std::process::id());
    let listener = UnixListener::bind_addr(&UnixAddr::from_abstract_name(&name).expect("name"));
    let listener = listener.expect("bind");
    let address = Address::Abstract(name.into_bytes());
    assert_eq!(Address::of_socket(listener.as_fd()).expect("name"), address);
    let client = socket(AddressFamily::UNIX);
    assert!(matches!(connect(client.as_fd(), &address), Connect::Done));
}

#[cfg(target_os = "linux")]
#[test]
fn other_families_are_somebody_elses_business() {
    let netlink = socket_of(AddressFamily::NETLINK, SocketType::RAW, None).expect("socket");
    assert_eq!(Address::of_socket(netlink.as_fd()).expect("name"), Address::Other);
    let Connect::Failed(error) = connect(netlink.as_fd(), &Address::Other) else {
        panic!("nowhere to connect to")
    };
    assert_eq!(Errno::from_io_error(&error), Some(Errno::AFNOSUPPORT));
}

/// Waits until a connect is decided.
fn decided(socket: &OwnedFd) {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    poll(&mut fds, None).expect("poll");
}

#[test]
fn a_tcp_connect_is_started_and_then_decided() {
    let (listener, address) = listen("127.0.0.1");
    let client = socket(AddressFamily::INET);
    assert!(matches!(connect(client.as_fd(), &v4(address)), Connect::Started));
    decided(&client);
    take_error(client.as_fd()).expect("connected");
    accepted(&listener);
}

#[test]
fn a_refusal_is_the_pending_error_and_is_taken_once() {
    let (listener, address) = listen("127.0.0.1");
    drop(listener);
    let client = socket(AddressFamily::INET);
    match connect(client.as_fd(), &v4(address)) {
        Connect::Started => {
            decided(&client);
            let error = take_error(client.as_fd()).expect_err("refused");
            assert_eq!(Errno::from_io_error(&error), Some(Errno::CONNREFUSED));
        }
        Connect::Failed(error) => {
            assert_eq!(Errno::from_io_error(&error), Some(Errno::CONNREFUSED));
        }
        Connect::Done => panic!("nobody listens"),
    }
    take_error(client.as_fd()).expect("taken");
}

#[test]
fn impossible_connects_fail_on_the_spot() {
    let client = socket(AddressFamily::UNIX);
    let errno = |address: &Address| match connect(client.as_fd(), address) {
        Connect::Failed(error) => Errno::from_io_error(&error),
        other => panic!("{other:?}"),
    };
    assert_eq!(errno(&Address::Path(b"/nonexistent/socket".to_vec())), Some(Errno::NOENT));
    assert_eq!(errno(&Address::Path(vec![b'x'; 200])), Some(Errno::NAMETOOLONG));
    assert_eq!(errno(&Address::Unnamed), Some(Errno::AFNOSUPPORT));
    let v4 = Address::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
    assert_eq!(errno(&v4), Some(Errno::INVAL));
}

/// S28.8: a Unix listener's full backlog is no connect under way.
#[cfg(target_os = "linux")]
#[test]
fn a_full_backlog_is_a_failure_to_retry() {
    let path = SocketPath::new("backlog");
    let listener = socket(AddressFamily::UNIX);
    let address = rustix::net::SocketAddrUnix::new(&path.0).expect("path");
    rustix::net::bind(&listener, &address).expect("bind");
    rustix::net::listen(&listener, 0).expect("listen");
    let address = path.address();
    let mut clients = Vec::new();
    let refusal = loop {
        let client = socket(AddressFamily::UNIX);
        match connect(client.as_fd(), &address) {
            Connect::Done => clients.push(client),
            Connect::Failed(error) => break error,
            Connect::Started => panic!("Unix sockets connect at once or not"),
        }
        assert!(clients.len() < 16, "the backlog is bounded");
    };
    assert_eq!(Errno::from_io_error(&refusal), Some(Errno::AGAIN));
}
