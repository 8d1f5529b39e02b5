//! What happens at the limits of the process.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::{pair, ready, regular_file};
use ferroloop_engine::{Accept, Interest, Poller, Signals, Waker, accept};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Runs `body` with room for `limit` descriptors. The limit is the process's, so one at a time.
fn with_limit(limit: u64, body: impl FnOnce()) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = getrlimit(Resource::Nofile);
    let mut lowered = before;
    lowered.current = Some(limit);
    setrlimit(Resource::Nofile, lowered).expect("setrlimit");
    body();
    setrlimit(Resource::Nofile, before).expect("setrlimit");
}

/// Takes every descriptor that is left.
fn hoard() -> Vec<OwnedFd> {
    let mut hoard = vec![OwnedFd::from(regular_file())];
    while let Ok(copy) = hoard[0].try_clone() {
        hoard.push(copy);
    }
    hoard
}

/// How many events one poll reports.
const AT_ONCE: usize = 32;

/// More events than one poll reports: the others come next, in turn, and nobody is left out.
#[test]
fn events_beyond_the_buffer_come_with_the_next_poll() {
    with_limit(400, || {
        let mut poller = Poller::new().expect("poller");
        let (left, mut right) = pair();
        right.write_all(b"x").expect("write");
        let copies: Vec<OwnedFd> =
            (0..5 * AT_ONCE).map(|_| left.as_fd().try_clone_to_owned().expect("dup")).collect();
        for (index, copy) in copies.iter().enumerate() {
            poller.insert(copy.as_raw_fd(), Interest::READ, index).expect("insert");
        }
        let mut seen = vec![false; copies.len()];
        for _ in 0..5 {
            for index in ready(&mut poller, Duration::ZERO) {
                seen[index] = true;
            }
        }
        assert!(seen.into_iter().all(|seen| seen));
    });
}

/// S20.3: the connection is not lost; it waits until there is a descriptor for it.
#[test]
fn accepting_without_descriptors_says_so() {
    with_limit(200, || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        listener.set_nonblocking(true).expect("nonblocking");
        let _client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let hoard = hoard();
        let Accept::OutOfResources(error) = accept(listener.as_fd()) else {
            panic!("there was no descriptor left")
        };
        assert_eq!(Errno::from_io_error(&error), Some(Errno::MFILE));
        drop(hoard);
        assert!(matches!(accept(listener.as_fd()), Accept::Connection(..)));
    });
}

#[test]
fn nothing_opens_without_descriptors() {
    with_limit(200, || {
        let _hoard = hoard();
        let refused = |error| assert_eq!(Errno::from_io_error(&error), Some(Errno::MFILE));
        refused(Poller::<()>::new().expect_err("no descriptor"));
        refused(Waker::new().expect_err("no descriptor"));
        refused(Signals::new().expect_err("no descriptor"));
    });
}
