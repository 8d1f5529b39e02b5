//! How late a busy loop may see an event: `Poller::look`.

#![allow(clippy::expect_used, reason = "a helper of tests")]

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ferroloop_engine::{Interest, Poller, Token};

/// More polls than it takes to calm a poller down.
const MANY: u32 = 5000;
/// How many may be skipped in a row.
const BOUND: u32 = 63;
/// How many, if the turns take long.
const LONG_BOUND: u32 = 3;
/// How many polls in vain it takes after that to be calm again.
const PAUSE: u32 = 64;

struct Watched {
    poller: Poller<()>,
    token: Token,
    peer: UnixStream,
    socket: UnixStream,
}

/// A poller that has looked many times in vain at a connected socket.
fn calm() -> Watched {
    let (socket, peer) = UnixStream::pair().expect("socketpair");
    let mut poller = Poller::new().expect("poller");
    let (token, _) = poller.insert(socket.as_raw_fd(), Interest::READ, ()).expect("insert");
    let mut watched = Watched { poller, token, peer, socket };
    for _ in 0..MANY {
        assert!(!watched.sees());
    }
    watched
}

/// A turn that takes long.
fn tarry() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(50) {}
}

impl Watched {
    /// A turn of a busy loop: whether it does without its poll.
    fn skips(&mut self) -> bool {
        let skips = self.poller.try_skip();
        if !skips {
            self.poller.look().expect("look");
        }
        skips
    }

    fn sees(&mut self) -> bool {
        !self.skips() && self.poller.events().count() > 0
    }

    /// How many looks it takes to see what is there; `None` if more than `MANY`.
    fn looks(&mut self) -> Option<u32> {
        (1..MANY).find(|_| self.sees())
    }
}

/// S4.14: however calm, an event is seen within the bound, and from then on by every look.
#[test]
fn an_event_is_seen_within_the_bound() {
    let mut watched = calm();
    watched.peer.write_all(b"x").expect("write");
    let looks = watched.looks().expect("the event is seen");
    assert!(looks <= BOUND + 1, "{looks}");
    for _ in 0..MANY {
        assert!(watched.sees(), "level-triggered, and the calm is over");
    }
}

/// Turns that take long are soon followed by a poll, and end the calm.
#[test]
fn time_ends_what_is_skipped() {
    let mut watched = calm();
    watched.peer.write_all(b"x").expect("write");
    let seen = (0..=LONG_BOUND).any(|_| {
        tarry();
        watched.sees()
    });
    assert!(seen);
}

/// Long turns all poll; after them the calm comes back sooner than the first time.
#[test]
fn long_turns_interrupt_the_calm() {
    let mut watched = calm();
    let long = 4 * (LONG_BOUND + 1);
    for _ in 0..long {
        tarry();
        assert!(!watched.sees());
    }
    let polls = (0..MANY).find(|_| watched.skips());
    let polls = polls.expect("it is calm again");
    assert!((PAUSE - long..=PAUSE).contains(&polls), "{polls}");
}

/// A run begins: what happened before it is seen at once.
#[test]
fn attention_ends_the_calm() {
    let mut watched = calm();
    watched.peer.write_all(b"x").expect("write");
    watched.poller.poll_next_turn();
    assert!(watched.sees());
}

/// One look is skipped, unless a run begins or what is watched has changed.
#[test]
fn a_look_is_skipped() {
    let mut watched = calm();
    watched.poller.poll_next_turn();
    watched.peer.write_all(b"x").expect("write");
    watched.poller.skip_next_poll();
    assert!(!watched.sees());
    assert!(watched.sees());
    watched.poller.skip_next_poll();
    watched.poller.poll_next_turn();
    assert!(watched.sees());
    watched.poller.skip_next_poll();
    watched.poller.set_interest(watched.token, Interest::BOTH);
    assert!(watched.sees());
}

/// What is watched has changed: that is seen at once.
#[test]
fn a_change_ends_the_calm() {
    let mut watched = calm();
    watched.poller.set_interest(watched.token, Interest::WRITE);
    assert!(watched.sees());
    let mut watched = calm();
    let second = watched.peer.as_raw_fd();
    watched.poller.insert(second, Interest::WRITE, ()).expect("insert");
    assert!(watched.sees());
}

/// A sleep ends the calm too.
#[test]
fn a_sleep_ends_the_calm() {
    let mut watched = calm();
    let mut wait = watched.poller.begin(Some(Duration::from_millis(1))).expect("begin");
    wait.run().expect("run");
    watched.poller.end(wait);
    watched.peer.write_all(b"x").expect("write");
    assert!(watched.sees());
    assert!(watched.socket.as_raw_fd() >= 0, "open to the end");
}
