//! Registrations that owe one report, and operations on sockets that may even be blocking.
#![allow(clippy::expect_used, reason = "a test may fail")]

mod common;

use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{drain, is_quiet, pair, poll, ready, reuse_number};
use ferroloop_engine::{Interest, Poller, Readiness, try_recv, try_recv_uninit};

const READ_ONCE: Interest = Interest::READ.with(Interest::ONCE);

#[test]
fn one_report_and_then_silence() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    let (token, _) = poller.insert(left.as_raw_fd(), READ_ONCE, 'a').expect("insert");
    assert!(poll(&mut poller, Duration::ZERO).is_empty());
    assert!(!poller.is_resting(left.as_raw_fd()));

    right.write_all(b"x").expect("write");
    let readable = Readiness::new(true, false, false);
    assert_eq!(poll(&mut poller, Duration::ZERO), [(token, readable, 'a')]);
    assert!(poller.is_resting(left.as_raw_fd()));
    assert!(is_quiet(&mut poller), "although the byte is still there");
    drop(right);
    assert!(is_quiet(&mut poller), "not even a hangup is reported");
}

#[test]
fn a_resting_registration_is_woken() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    let (token, _) = poller.insert(left.as_raw_fd(), READ_ONCE, 1).expect("insert");
    for _ in 0..3 {
        right.write_all(b"x").expect("write");
        assert_eq!(ready(&mut poller, Duration::ZERO), [1]);
        drain(&left, 1);
        poller.verify(token, READ_ONCE).expect("again");
        assert!(poll(&mut poller, Duration::ZERO).is_empty());
    }
    right.write_all(b"x").expect("write");
    poller.verify(token, Interest::READ).expect("for good");
    assert_eq!(ready(&mut poller, Duration::ZERO), [1]);
    assert_eq!(ready(&mut poller, Duration::ZERO), [1], "a level again");
}

/// What was wanted before the report came, but had not reached the kernel, still counts.
#[test]
fn a_change_on_its_way_survives_the_report() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    let (token, _) = poller.insert(left.as_raw_fd(), READ_ONCE, 1).expect("insert");
    right.write_all(b"x").expect("write");
    let mut wait = poller.begin(Some(Duration::ZERO)).expect("begin");
    poller.set_interest(token, Interest::READ);
    wait.run().expect("run");
    poller.end(wait);
    for _ in 0..3 {
        assert_eq!(ready(&mut poller, Duration::ZERO), [1]);
    }
}

/// S7.8: closed at rest, and its number reused: to wake it is to watch the new file.
#[test]
fn a_resting_number_is_reused() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    let mut number = OwnedFd::from(left);
    let (token, _) = poller.insert(number.as_raw_fd(), READ_ONCE, 1).expect("insert");
    right.write_all(b"x").expect("write");
    assert_eq!(ready(&mut poller, Duration::ZERO), [1]);

    let (other, mut peer) = pair();
    reuse_number(&mut number, &other);
    poller.verify(token, READ_ONCE).expect("verify");
    assert!(poll(&mut poller, Duration::ZERO).is_empty());
    peer.write_all(b"x").expect("write");
    assert_eq!(ready(&mut poller, Duration::ZERO), [1]);
}

#[test]
fn a_resting_registration_can_be_replaced_and_removed() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    let fd = left.as_raw_fd();
    poller.insert(fd, READ_ONCE, 1).expect("insert");
    right.write_all(b"x").expect("write");
    assert_eq!(ready(&mut poller, Duration::ZERO), [1]);
    let (token, replaced) = poller.insert(fd, Interest::NONE, 2).expect("insert");
    assert_eq!(replaced, Some(1));
    assert!(!poller.is_resting(fd));
    assert!(is_quiet(&mut poller));
    poller.set_interest(token, Interest::READ);
    assert_eq!(ready(&mut poller, Duration::ZERO), [2]);
    assert_eq!(poller.remove(token), Some(2));
    assert!(is_quiet(&mut poller));
}

#[test]
fn a_blocking_socket_does_not_block() {
    let (left, mut right) = UnixStream::pair().expect("socketpair");
    let mut buffer = [0; 16];
    assert_eq!(try_recv(left.as_fd(), &mut buffer).expect("recv"), None);
    right.write_all(b"data").expect("write");
    assert_eq!(try_recv(left.as_fd(), &mut buffer).expect("recv"), Some(4));
    assert_eq!(&buffer[..4], b"data");
    let mut fresh = [MaybeUninit::uninit(); 16];
    assert_eq!(try_recv_uninit(left.as_fd(), &mut fresh).expect("recv"), None);
    right.write_all(b"more").expect("write");
    assert_eq!(try_recv_uninit(left.as_fd(), &mut fresh).expect("recv"), Some(4));
    drop(right);
    assert_eq!(try_recv_uninit(left.as_fd(), &mut fresh).expect("recv"), Some(0));
    assert_eq!(try_recv(left.as_fd(), &mut buffer).expect("recv"), Some(0));
}
