//! The poller: registrations, lazy interest, and descriptors that change behind its back (S47.5).
#![allow(clippy::expect_used, reason = "a test may fail")]

mod common;

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{
    NAP, NEVER_OPEN, drain, fill, is_quiet, pair, poll, private_number, ready, regular_file,
    reuse_number,
};
use ferroloop_engine::{Interest, Poller, Readiness, Refused, Token, Wait, Waker};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// What an error or a hangup reports.
const BOTH: Readiness = Readiness::new(true, true, false);

fn errno<T: std::fmt::Debug, W: std::fmt::Debug>(outcome: Result<T, Refused<W>>) -> Option<Errno> {
    Errno::from_io_error(&outcome.expect_err("refused").error)
}

const fn is_send<T: Send>() {}
const _: () = is_send::<Wait>();
const _: () = is_send::<Poller<u8>>();

/// S47.8.
#[test]
fn the_mechanism_has_a_name() {
    let name = Poller::<()>::NAME;
    assert_eq!(name, if cfg!(target_os = "linux") { "epoll" } else { "kqueue" });
}

/// Whether a host that polls by itself hears of something now.
fn is_readable(poller: &Poller<()>) -> bool {
    let mut fds = [PollFd::new(poller, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&Timespec::default())).expect("poll") > 0
}

/// A host that waits by itself hears of all that a wait would have reported.
#[test]
fn a_lent_poller_is_readable() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    let (token, _) = poller.insert(left.as_raw_fd(), Interest::NONE, ()).expect("insert");
    right.write_all(b"x").expect("write");
    poller.set_interest(token, Interest::READ);
    assert!(!is_readable(&poller), "the kernel has not been told");
    assert!(poller.lend().expect("lend"));
    assert!(is_readable(&poller));
    drain(&left, 10);
    assert!(!is_readable(&poller));
}

/// Nobody waits in vain for a watch that was refused.
#[test]
fn a_refused_watch_is_not_waited_for() {
    let mut poller = Poller::new().expect("poller");
    let (left, _right) = pair();
    let left = private_number(left, 860);
    let (token, _) = poller.insert(left.as_raw_fd(), Interest::NONE, ()).expect("insert");
    drop(left);
    poller.set_interest(token, Interest::READ);
    assert!(!poller.lend().expect("lend"));
    poller.look().expect("look");
    assert_eq!(poller.events().count(), 1);
    assert!(poller.lend().expect("lend"));
}

/// The waker is never read, but its news are over when they were polled for.
#[test]
fn a_wake_makes_a_lent_poller_readable_once() {
    let mut poller = Poller::<()>::new().expect("poller");
    let waker = Waker::new().expect("waker");
    poller.watch_waker(&waker).expect("watch");
    for _ in 0..3 {
        waker.arm();
        assert!(poller.lend().expect("lend"));
        assert!(!is_readable(&poller));
        waker.wake().expect("wake");
        assert!(is_readable(&poller));
        waker.disarm();
        poller.look().expect("look");
        assert!(!is_readable(&poller));
    }
}

/// S4.12: what stays ready is reported once per poll, every poll, until it is read.
#[test]
fn readiness_is_a_level() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    let (token, _) = poller.insert(left.as_raw_fd(), Interest::READ, 'a').expect("insert");
    assert!(poll(&mut poller, Duration::ZERO).is_empty());

    right.write_all(b"x").expect("write");
    for _ in 0..3 {
        let readable = Readiness::new(true, false, false);
        assert_eq!(poll(&mut poller, Duration::ZERO), [(token, readable, 'a')]);
    }
    drain(&left, 10);
    assert!(poll(&mut poller, Duration::ZERO).is_empty());
}

#[test]
fn only_what_is_wanted_is_reported() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    right.write_all(b"x").expect("write");
    let (token, _) = poller.insert(left.as_raw_fd(), Interest::NONE, ()).expect("insert");
    let mut sides = |interest| {
        poller.set_interest(token, interest);
        let events = poll(&mut poller, Duration::ZERO);
        let readable = events.iter().any(|(_, readiness, ())| readiness.readable());
        let writable = events.iter().any(|(_, readiness, ())| readiness.writable());
        (readable, writable)
    };
    assert_eq!(sides(Interest::NONE), (false, false));
    assert_eq!(sides(Interest::READ), (true, false));
    assert_eq!(sides(Interest::WRITE), (false, true));
    assert_eq!(sides(Interest::BOTH), (true, true));
    assert_eq!(sides(Interest::NONE), (false, false));
}

/// S7.7: both sides learn of a hangup, whichever was asked for.
#[test]
fn a_hangup_reports_both_sides() {
    for interest in [Interest::READ, Interest::WRITE] {
        let mut poller = Poller::new().expect("poller");
        let (left, right) = pair();
        fill(&left);
        poller.insert(left.as_raw_fd(), interest, ()).expect("insert");
        drop(right);
        let events = poll(&mut poller, Duration::ZERO);
        if cfg!(target_os = "linux") {
            assert!(events.iter().all(|(_, readiness, ())| *readiness == BOTH));
        }
        assert_eq!(events.len(), 1);
    }
}

/// A reader that paused must not be woken by a hangup it cannot act on.
#[test]
fn without_interest_not_even_a_hangup_is_reported() {
    let mut poller = Poller::new().expect("poller");
    let (left, right) = pair();
    let (token, _) = poller.insert(left.as_raw_fd(), Interest::READ, ()).expect("insert");
    drop(right);
    assert_eq!(ready(&mut poller, Duration::ZERO).len(), 1);
    poller.set_interest(token, Interest::NONE);
    assert!(is_quiet(&mut poller));
    poller.set_interest(token, Interest::READ);
    assert_eq!(ready(&mut poller, Duration::ZERO).len(), 1);
}

/// S7.6, S0.7: the true errno, and the payload comes back.
#[test]
fn what_cannot_be_watched_is_refused() {
    let mut poller = Poller::new().expect("poller");
    assert_eq!(errno(poller.insert(-1, Interest::READ, 1)), Some(Errno::BADF));
    for interest in [Interest::NONE, Interest::READ] {
        let refused = poller.insert(NEVER_OPEN, interest, 2).expect_err("not open");
        assert_eq!(Errno::from_io_error(&refused.error), Some(Errno::BADF));
        assert_eq!(refused.payload, 2);
    }
    if cfg!(target_os = "linux") {
        let file = regular_file();
        let outcome = poller.insert(file.as_raw_fd(), Interest::READ, 3);
        assert_eq!(errno(outcome), Some(Errno::PERM));
    }
    assert_eq!(poller.iter().count(), 0);
    assert!(ready(&mut poller, Duration::ZERO).is_empty());
}

#[test]
fn a_replaced_payload_comes_back_and_its_token_is_void() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    let fd = left.as_raw_fd();
    let (old, replaced) = poller.insert(fd, Interest::READ, 1).expect("insert");
    assert_eq!(replaced, None);
    let (new, replaced) = poller.insert(fd, Interest::READ, 2).expect("replace");
    assert_eq!(replaced, Some(1));
    assert_eq!(poller.iter().count(), 1);
    assert_eq!(poller.get_mut(fd), Some((new, &mut 2)));
    assert_eq!(poller.payload_mut(old), None);
    assert_eq!(poller.payload_mut(new), Some(&mut 2));

    poller.set_interest(old, Interest::NONE);
    assert_eq!(poller.remove(old), None);
    assert!(poller.verify(old, Interest::READ).is_err());
    right.write_all(b"x").expect("write");
    assert_eq!(ready(&mut poller, Duration::ZERO), [2]);
}

#[test]
fn payloads_are_found_by_number_and_by_token() {
    let mut poller = Poller::new().expect("poller");
    let (left, right) = pair();
    let (token, _) = poller.insert(left.as_raw_fd(), Interest::NONE, 1).expect("insert");
    poller.insert(right.as_raw_fd(), Interest::NONE, 10).expect("insert");
    let (found, payload) = poller.get_mut(left.as_raw_fd()).expect("there");
    *payload += 1;
    assert_eq!(found, token);
    *poller.payload_mut(token).expect("there") += 1;
    assert_eq!(poller.get(left.as_raw_fd()), Some(&3));
    assert_eq!(poller.iter().map(|(_, payload)| payload).sum::<i32>(), 13);
    assert_eq!(poller.remove(token), Some(3));
    assert_eq!(poller.get(left.as_raw_fd()), None);
    assert_eq!(poller.get_mut(left.as_raw_fd()), None);
    assert_eq!(poller.iter().count(), 1);
    for nowhere in [-1, NEVER_OPEN] {
        assert_eq!(poller.get(nowhere), None);
        assert_eq!(poller.remove(Token::new(nowhere, 1)), None);
        poller.set_interest(Token::new(nowhere, 1), Interest::READ);
    }
}

/// An event found before the registration ended does not count after.
#[test]
fn events_of_ended_registrations_are_left_out() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    let fd = left.as_raw_fd();
    let (old, _) = poller.insert(fd, Interest::READ, 1).expect("insert");
    right.write_all(b"x").expect("write");
    let mut wait = poller.begin(Some(NAP)).expect("begin");
    wait.run().expect("run");
    assert_eq!(poller.remove(old), Some(1));
    let (new, _) = poller.insert(fd, Interest::READ, 2).expect("insert");
    poller.end(wait);
    assert_eq!(poller.events().count(), 0);
    // And the living registration has not suffered from it.
    assert_eq!(poll(&mut poller, Duration::ZERO), [(new, Readiness::new(true, false, false), 2)]);
}

/// S7.8: closed and reused without a word, then added again by `insert` or by `verify`.
#[test]
fn a_reused_number_is_watched_when_added_again() {
    for again in ["insert", "verify"] {
        let mut poller = Poller::new().expect("poller");
        let (left, _right) = pair();
        let mut number = OwnedFd::from(left);
        let (token, _) = poller.insert(number.as_raw_fd(), Interest::READ, 1).expect("insert");
        let (other, mut peer) = pair();
        reuse_number(&mut number, &other);
        peer.write_all(b"x").expect("write");
        assert!(poll(&mut poller, Duration::ZERO).is_empty(), "the old file is gone");

        if again == "insert" {
            let (_, replaced) =
                poller.insert(number.as_raw_fd(), Interest::READ, 1).expect("again");
            assert_eq!(replaced, Some(1));
        } else {
            poller.verify(token, Interest::READ).expect("again");
        }
        assert_eq!(ready(&mut poller, Duration::ZERO), [1], "by {again}");
    }
}

/// S7.8: or it raises.
#[test]
fn a_closed_number_is_refused_when_added_again() {
    let mut poller = Poller::new().expect("poller");
    let (left, _right) = pair();
    let left = private_number(left, 800);
    let fd = left.as_raw_fd();
    let (token, _) = poller.insert(fd, Interest::READ, 1).expect("insert");
    drop(left);
    let error = poller.verify(token, Interest::BOTH).expect_err("closed");
    assert_eq!(Errno::from_io_error(&error), Some(Errno::BADF));
    assert_eq!(errno(poller.insert(fd, Interest::READ, 2)), Some(Errno::BADF));
    // The registration that was there stays, and its owner is told to look.
    assert_eq!(poll(&mut poller, NAP), [(token, BOTH, 1)]);
    assert!(is_quiet(&mut poller));
    assert_eq!(poller.remove(token), Some(1));
}

/// A file that the kernel watches and the table does not, because its number led to another one
/// when its registration ended; and its peer.
fn forgotten(poller: &mut Poller<u32>) -> (OwnedFd, UnixStream) {
    let (left, right) = pair();
    let mut number = OwnedFd::from(left);
    let duplicate = number.try_clone().expect("dup");
    let (token, _) = poller.insert(number.as_raw_fd(), Interest::READ, 1).expect("insert");
    let (other, _) = pair();
    reuse_number(&mut number, &other);
    assert_eq!(poller.remove(token), Some(1));
    reuse_number(&mut number, &duplicate);
    (number, right)
}

/// The kernel knows more than the table: it is brought into line, not complained about.
#[test]
fn a_watch_the_table_has_forgotten_is_taken_over() {
    let mut poller = Poller::new().expect("poller");
    let (number, mut right) = forgotten(&mut poller);
    poller.insert(number.as_raw_fd(), Interest::READ, 2).expect("EEXIST is not an error");
    right.write_all(b"x").expect("write");
    assert_eq!(ready(&mut poller, Duration::ZERO), [2]);
}

/// A watch refused when interest is applied is reported as ready, once, so that its owner looks.
#[test]
fn interest_in_a_closed_number_is_reported_once() {
    let mut poller = Poller::new().expect("poller");
    let (left, _right) = pair();
    let left = private_number(left, 810);
    let (token, _) = poller.insert(left.as_raw_fd(), Interest::NONE, 1).expect("insert");
    drop(left);
    poller.set_interest(token, Interest::READ);
    let started = Instant::now();
    assert_eq!(poll(&mut poller, NAP * 10), [(token, BOTH, 1)]);
    assert!(started.elapsed() < NAP * 10, "the report does not wait");
    assert!(is_quiet(&mut poller));
}

/// A registration that ended while its file lives on under the same number.
#[test]
fn a_ghost_with_a_name_is_deleted() {
    let mut poller = Poller::new().expect("poller");
    let (_number, mut right) = forgotten(&mut poller);
    right.write_all(b"x").expect("write");
    assert!(poll(&mut poller, NAP).is_empty());
    assert!(is_quiet(&mut poller));
}

/// Closed behind our back, alive through a duplicate, and the number no longer leads to it: the
/// kernel side is replaced, and everybody else is watched as before.
#[test]
fn a_ghost_without_a_name_does_not_spin() {
    let mut poller = Poller::new().expect("poller");
    let waker = Waker::new().expect("waker");
    poller.watch_waker(&waker).expect("watch");
    let (bystander, mut peer) = pair();
    poller.insert(bystander.as_raw_fd(), Interest::READ, 2).expect("insert");

    let (left, mut right) = pair();
    let _duplicate = left.as_fd().try_clone_to_owned().expect("dup");
    let (token, _) = poller.insert(left.as_raw_fd(), Interest::READ, 1).expect("insert");
    drop(left);
    poller.remove(token);
    right.write_all(b"x").expect("write");

    // Two polls to notice; then it must be over.
    assert!(poll(&mut poller, NAP).is_empty());
    assert!(poll(&mut poller, NAP).is_empty());
    assert!(is_quiet(&mut poller));

    peer.write_all(b"x").expect("write");
    assert_eq!(ready(&mut poller, Duration::ZERO), [2]);
    drain(&bystander, 10);
    waker.arm();
    waker.wake().expect("wake");
    let started = Instant::now();
    assert!(poll(&mut poller, NAP).is_empty());
    assert!(started.elapsed() < NAP, "the waker moved along");
}

/// As before, but the number has been given to a new registration, which must not suffer.
#[test]
fn a_ghost_does_not_haunt_its_numbers_heir() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    let mut number = OwnedFd::from(left);
    let _duplicate = number.try_clone().expect("dup");
    poller.insert(number.as_raw_fd(), Interest::READ, 1).expect("insert");
    let (heir, mut peer) = pair();
    reuse_number(&mut number, &heir);
    let (_, old) = poller.insert(number.as_raw_fd(), Interest::READ, 2).expect("insert");
    assert_eq!(old, Some(1));
    right.write_all(b"x").expect("write");

    assert!(poll(&mut poller, NAP).is_empty());
    assert!(poll(&mut poller, NAP).is_empty());
    assert!(is_quiet(&mut poller));
    peer.write_all(b"x").expect("write");
    assert_eq!(ready(&mut poller, Duration::ZERO), [2]);
}

/// S6.9: dropping a poller takes nothing from whoever shares its kernel side.
#[test]
fn closing_deregisters_nothing() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    poller.insert(left.as_raw_fd(), Interest::READ, 1).expect("insert");
    right.write_all(b"x").expect("write");
    let mut wait = poller.begin(Some(NAP * 10)).expect("begin");
    drop(poller);
    let started = Instant::now();
    wait.run().expect("the wait holds the kernel side on its own");
    assert!(started.elapsed() < NAP * 10, "the registration is still there");
}

/// S5.10: never early, at any fraction of a millisecond.
#[test]
fn a_poll_never_ends_early() {
    let mut poller = Poller::<()>::new().expect("poller");
    for micros in [1, 300, 999, 1000, 1001, 2500, 20_300] {
        let timeout = Duration::from_micros(micros);
        for _ in 0..5 {
            let started = Instant::now();
            poll(&mut poller, timeout);
            assert!(started.elapsed() >= timeout, "{micros} µs");
        }
    }
}

/// A timer of 300 µs is not rounded to a millisecond. The best of many, as the machine is shared.
#[test]
fn a_poll_is_finer_than_a_millisecond() {
    let mut poller = Poller::<()>::new().expect("poller");
    let best = (0..50).map(|_| {
        let started = Instant::now();
        poll(&mut poller, Duration::from_micros(300));
        started.elapsed()
    });
    assert!(best.min().expect("fifty") < Duration::from_micros(900));
}

#[test]
fn an_event_ends_a_fractional_poll() {
    let (left, mut right) = pair();
    right.write_all(b"x").expect("write");
    for micros in [700, 500_700] {
        let mut poller = Poller::new().expect("poller");
        poller.insert(left.as_raw_fd(), Interest::READ, 1).expect("insert");
        assert_eq!(ready(&mut poller, Duration::from_micros(micros)), [1]);
    }
}

#[test]
fn a_lost_wait_is_replaced() {
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    poller.insert(left.as_raw_fd(), Interest::READ, 1).expect("insert");
    right.write_all(b"x").expect("write");
    drop(poller.begin(None).expect("begin"));
    assert_eq!(ready(&mut poller, Duration::ZERO), [1]);
}

/// What a thread lets the kernel put off is its own affair: it has that again after a short sleep,
/// whether the time was over or something came.
#[cfg(target_os = "linux")]
#[test]
fn a_short_sleep_gives_the_timer_slack_back() {
    use std::num::NonZeroU64;

    use rustix::thread::{current_timer_slack, set_current_timer_slack};

    set_current_timer_slack(NonZeroU64::new(77_000)).expect("prctl");
    let mut poller = Poller::new().expect("poller");
    let (left, mut right) = pair();
    poller.insert(left.as_raw_fd(), Interest::READ, ()).expect("insert");
    assert!(poll(&mut poller, Duration::from_micros(300)).is_empty());
    assert_eq!(current_timer_slack().expect("prctl"), 77_000);
    right.write_all(b"x").expect("write");
    assert_eq!(poll(&mut poller, Duration::from_micros(300)).len(), 1);
    assert_eq!(current_timer_slack().expect("prctl"), 77_000);
}
