//! Polling instead of sleeping: `Spin` decides for how long, `Wait::spin` does it.
#![allow(clippy::expect_used, reason = "a test may fail")]

mod common;

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use common::NAP;
use ferroloop_engine::{Interest, Poller, Spin, Waker};
use rustix::time::{ClockId, clock_gettime};

const SLICE: Duration = Spin::SLICE;

/// A spin of three and a half slices, and a clock for it.
fn spin() -> (Spin, Instant) {
    let mut spin = Spin::default();
    spin.set_limit(SLICE * 7 / 2);
    (spin, Instant::now())
}

#[test]
fn it_is_off_unless_it_has_time() {
    let mut spin = Spin::default();
    assert_eq!(spin.slice(None, Instant::now()), None);
    spin.set_limit(SLICE);
    assert!(spin.slice(None, Instant::now()).is_some());
    spin.set_limit(Duration::ZERO);
    assert_eq!(spin.slice(None, Instant::now()), None);
}

#[test]
fn slices_add_up_to_the_limit_and_then_it_sleeps() {
    let (mut spin, start) = spin();
    let slices: Vec<_> = (0..5).map(|index| spin.slice(None, start + SLICE * index)).collect();
    assert_eq!(slices, [Some(SLICE), Some(SLICE), Some(SLICE), Some(SLICE / 2), None]);
    // Whatever ended the sleep: idle again, it has its whole time.
    assert_eq!(spin.slice(None, start + SLICE * 9), Some(SLICE));
}

#[test]
fn a_slice_ends_with_the_timeout() {
    let (mut spin, start) = spin();
    assert_eq!(spin.slice(Some(SLICE * 5), start), Some(SLICE));
    assert_eq!(spin.slice(Some(SLICE / 3), start + SLICE * 2), Some(SLICE / 3));
    // A timer is due then, and after it the whole time begins anew.
    assert_eq!(spin.slice(None, start + SLICE * 3), Some(SLICE));
    assert_eq!(spin.slice(None, start + SLICE * 6), Some(SLICE / 2));
}

#[test]
fn work_begins_the_time_anew() {
    let (mut spin, start) = spin();
    assert_eq!(spin.slice(None, start), Some(SLICE));
    spin.disturb();
    assert_eq!(spin.slice(None, start + SLICE * 3), Some(SLICE));
    assert_eq!(spin.slice(None, start + SLICE * 6), Some(SLICE / 2));
}

#[test]
fn a_clock_that_goes_back_is_no_reason_to_stop() {
    let (mut spin, start) = spin();
    assert_eq!(spin.slice(None, start + SLICE), Some(SLICE));
    assert_eq!(spin.slice(None, start), Some(SLICE));
}

#[test]
fn the_limit_has_a_limit() {
    let mut spin = Spin::default();
    spin.set_limit(Duration::MAX);
    assert_eq!(spin.limit(), Spin::LONGEST);
}

/// A poller of one socket, and its peer.
fn watched() -> (Poller<()>, UnixStream, UnixStream) {
    let (socket, peer) = UnixStream::pair().expect("socketpair");
    let mut poller = Poller::new().expect("poller");
    poller.insert(socket.as_raw_fd(), Interest::READ, ()).expect("insert");
    (poller, socket, peer)
}

/// Polls for `timeout` without sleeping.
fn poll(poller: &mut Poller<()>, timeout: Duration) {
    let mut wait = poller.begin(Some(timeout)).expect("begin");
    wait.spin().expect("spin");
    poller.end(wait);
}

/// How long this thread has run, without the time it slept.
fn busy() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time")
}

#[test]
fn what_is_ready_ends_it() {
    let (mut poller, _socket, mut peer) = watched();
    peer.write_all(b"x").expect("write");
    let start = Instant::now();
    poll(&mut poller, NAP * 100);
    assert!(start.elapsed() < NAP * 100);
    assert_eq!(poller.events().count(), 1);
}

#[test]
fn no_time_is_one_poll() {
    let (mut poller, _socket, mut peer) = watched();
    poll(&mut poller, Duration::ZERO);
    assert_eq!(poller.events().count(), 0);
    peer.write_all(b"x").expect("write");
    poll(&mut poller, Duration::ZERO);
    assert_eq!(poller.events().count(), 1);
}

#[test]
fn it_polls_until_the_time_is_over() {
    let (mut poller, _socket, _peer) = watched();
    let start = Instant::now();
    poll(&mut poller, NAP);
    assert!(start.elapsed() >= NAP);
    assert_eq!(poller.events().count(), 0);
}

/// However little of the time a busy machine leaves it, a thread that polls has run in the end.
#[test]
fn it_does_not_sleep() {
    let (mut poller, _socket, _peer) = watched();
    let enough = busy() + NAP;
    let ran = (0..100).any(|_| {
        poll(&mut poller, NAP);
        busy() >= enough
    });
    assert!(ran);
}

/// An armed waker ends it as it ends a sleep.
#[test]
fn a_wake_ends_it() {
    let (mut poller, _socket, _peer) = watched();
    let waker = Waker::new().expect("waker");
    poller.watch_waker(&waker).expect("watch");
    waker.arm();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| waker.wake().expect("wake"));
        poll(&mut poller, NAP * 1000);
    });
    assert!(start.elapsed() < NAP * 1000);
}
