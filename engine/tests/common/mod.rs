//! What the tests share.
#![allow(dead_code, reason = "each test file uses its part of it")]
#![allow(clippy::expect_used, reason = "a test may fail")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ferroloop_engine::{Poller, Readiness, Token};

/// Long enough that a poll which sleeps it through has clearly slept; short enough for a test.
pub(crate) const NAP: Duration = Duration::from_millis(40);

/// Two connected sockets that do not block.
pub(crate) fn pair() -> (UnixStream, UnixStream) {
    let (left, right) = UnixStream::pair().expect("socketpair");
    left.set_nonblocking(true).expect("nonblocking");
    right.set_nonblocking(true).expect("nonblocking");
    (left, right)
}

/// One poll, from beginning to end.
pub(crate) fn poll<W: Copy>(
    poller: &mut Poller<W>,
    timeout: Duration,
) -> Vec<(Token, Readiness, W)> {
    let mut wait = poller.begin(Some(timeout)).expect("begin");
    wait.run().expect("run");
    poller.end(wait);
    poller.events().map(|(token, readiness, &payload)| (token, readiness, payload)).collect()
}

/// The payloads one poll reports.
pub(crate) fn ready<W: Copy>(poller: &mut Poller<W>, timeout: Duration) -> Vec<W> {
    poll(poller, timeout).into_iter().map(|(_, _, payload)| payload).collect()
}

/// Whether a poll of a [`NAP`] sleeps it through and reports nothing: nothing spins.
pub(crate) fn is_quiet<W: Copy>(poller: &mut Poller<W>) -> bool {
    let started = Instant::now();
    poll(poller, NAP).is_empty() && started.elapsed() >= NAP
}

/// A number that is open in no process of sane limits.
pub(crate) const NEVER_OPEN: RawFd = RawFd::MAX;

/// Moves a descriptor to a number no other test takes, so that it can be closed and stay closed
/// while they run beside.
pub(crate) fn private_number(fd: impl Into<OwnedFd>, number: RawFd) -> OwnedFd {
    let moved = rustix::io::fcntl_dupfd_cloexec(fd.into(), number).expect("fcntl");
    assert_eq!(moved.as_raw_fd(), number, "taken");
    moved
}

/// Makes `number` mean another open file, as closing it and opening something else would.
pub(crate) fn reuse_number(number: &mut OwnedFd, other: &impl AsRawFd) {
    // SAFETY: both are plain numbers; `dup2` closes the one and makes it a copy of the other.
    let result = unsafe { libc::dup2(other.as_raw_fd(), number.as_raw_fd()) };
    assert_eq!(result, number.as_raw_fd());
}

/// Reads what is there, up to `limit` bytes.
pub(crate) fn drain(mut stream: &UnixStream, limit: usize) -> Vec<u8> {
    let mut buffer = vec![0; limit];
    let read = stream.read(&mut buffer).unwrap_or(0);
    buffer.truncate(read);
    buffer
}

/// Writes until the kernel takes no more; how much it took.
pub(crate) fn fill(mut stream: &UnixStream) -> usize {
    let mut total = 0;
    while let Ok(written) = stream.write(&[0; 4096]) {
        total += written;
    }
    total
}

/// A regular file, which epoll cannot watch.
pub(crate) fn regular_file() -> File {
    File::open(std::env::current_exe().expect("own path")).expect("own file")
}
