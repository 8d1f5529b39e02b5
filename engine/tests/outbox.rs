//! The outbox against a string of bytes.
#![allow(clippy::expect_used, reason = "a test may fail")]

mod common;

use std::cell::Cell;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use common::{drain, fill, pair};
use ferroloop_engine::{Channel, Outbox};
use proptest::prelude::*;
use rustix::net::sockopt::set_socket_send_buffer_size;

/// Bytes that note their own drop.
#[derive(Debug)]
struct Noted {
    bytes: Vec<u8>,
    drops: Rc<Cell<usize>>,
}

impl AsRef<[u8]> for Noted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
    }
}

fn receive_all(stream: &UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let some = drain(stream, 65_536);
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

#[test]
fn an_empty_outbox_has_nothing_to_do() {
    let (left, _right) = pair();
    let mut outbox = Outbox::<Vec<u8>>::new();
    let mut done = Vec::new();
    assert!(outbox.is_empty());
    outbox.flush(Channel::Socket, left.as_fd(), &mut done).expect("flush");
    assert!(outbox.is_empty());
    assert!(done.is_empty());
}

#[test]
fn several_buffers_leave_whole_and_in_order() {
    let (left, right) = pair();
    let mut outbox = Outbox::new();
    for part in ["one ", "", "two ", "three"] {
        outbox.push(part);
    }
    assert_eq!(outbox.len_bytes(), 13);
    let mut done = Vec::new();
    outbox.flush(Channel::Socket, left.as_fd(), &mut done).expect("flush");
    assert!(outbox.is_empty());
    assert_eq!(done, ["one ", "", "two ", "three"]);
    assert_eq!(receive_all(&right), b"one two three");
    assert!(outbox.is_empty() && outbox.len_bytes() == 0);
}

/// As many small ones as are copied together and one byte more, and more than one `sendmsg`
/// gathers.
#[test]
fn any_number_of_buffers_leaves() {
    for (count, size) in [(200, 3), (2, 1024), (1, 2048), (3, 683), (200, 30)] {
        let (left, right) = pair();
        let mut outbox = Outbox::new();
        let parts: Vec<Vec<u8>> = (0..count).map(|byte| vec![byte; size]).collect();
        for part in &parts {
            outbox.push(part.clone());
        }
        let mut done = Vec::new();
        outbox.flush(Channel::Socket, left.as_fd(), &mut done).expect("flush");
        assert!(outbox.is_empty());
        assert_eq!(done, parts);
        assert_eq!(receive_all(&right), parts.concat());
    }
}

#[test]
fn empty_buffers_alone_need_no_system_call() {
    let (left, right) = pair();
    drop(right);
    let mut outbox = Outbox::new();
    outbox.push("");
    assert!(outbox.is_empty(), "nothing to send");
    let mut done = Vec::new();
    // A send would be EPIPE.
    outbox.flush(Channel::Socket, left.as_fd(), &mut done).expect("flush");
    assert!(outbox.is_empty());
    assert_eq!(done, [""]);
}

#[test]
fn a_full_kernel_keeps_the_rest_waiting() {
    let (left, right) = pair();
    let filler = fill(&left);
    let mut outbox = Outbox::new();
    outbox.push("late");
    let mut done = Vec::new();
    outbox.flush(Channel::Socket, left.as_fd(), &mut done).expect("flush");
    assert!(!outbox.is_empty());
    assert_eq!(outbox.iter().collect::<Vec<_>>(), [&"late"]);
    assert!(done.is_empty());
    assert_eq!(receive_all(&right).len(), filler);
    outbox.flush(Channel::Socket, left.as_fd(), &mut done).expect("flush");
    assert!(outbox.is_empty());
    assert_eq!(receive_all(&right), b"late");
}

/// S16.14: what there is room for leaves at once, in however many pieces it was written.
#[test]
fn many_small_buffers_leave_at_once() {
    let parts: Vec<Vec<u8>> = (0..20_000_usize).map(|n| vec![n.to_le_bytes()[0]; n % 7]).collect();
    let (left, right) = pair();
    let mut outbox = Outbox::new();
    for part in &parts {
        outbox.push(part.clone());
    }
    let mut done = Vec::new();
    outbox.flush(Channel::Socket, left.as_fd(), &mut done).expect("flush");
    assert!(outbox.is_empty());
    assert_eq!(done, parts);
    assert_eq!(receive_all(&right), parts.concat());
}

/// S4.14: who takes whatever comes does not keep the loop: a flush ends after a number of bytes.
#[test]
fn a_flush_is_bounded() {
    let bottomless = File::options().write(true).open("/dev/null").expect("/dev/null");
    let mut outbox = Outbox::new();
    let megabyte = vec![0; 1 << 20];
    for _ in 0..100 {
        outbox.push(megabyte.as_slice());
    }
    let mut done = Vec::new();
    let mut flushes = 0;
    while !outbox.is_empty() {
        outbox.flush(Channel::WriteEnd, bottomless.as_fd(), &mut done).expect("flush");
        flushes += 1;
    }
    assert!(flushes > 1, "one flush took {} MiB", done.len());
}

/// No signal, the true error, and the buffers still there to be dropped by their owner.
#[test]
fn a_gone_peer_is_an_error() {
    let (left, right) = pair();
    drop(right);
    for parts in [vec!["one"], vec!["one", "two"]] {
        let mut outbox = Outbox::new();
        for part in &parts {
            outbox.push(*part);
        }
        let mut done = Vec::new();
        let error =
            outbox.flush(Channel::Socket, left.as_fd(), &mut done).expect_err("broken pipe");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        outbox.clear(&mut done);
        assert_eq!(done, parts);
        assert!(outbox.is_empty());
    }
}

#[test]
fn no_buffer_is_dropped_inside() {
    let (left, _right) = pair();
    let drops = Rc::new(Cell::new(0));
    let mut outbox = Outbox::new();
    let mut done = Vec::new();
    for _ in 0..3 {
        for size in [10, 0, 100_000, 400_000] {
            outbox.push(Noted { bytes: vec![1; size], drops: Rc::clone(&drops) });
        }
        outbox.flush(Channel::Socket, left.as_fd(), &mut done).expect("flush");
    }
    outbox.clear(&mut done);
    drop(outbox);
    assert_eq!(drops.get(), 0);
    assert_eq!(done.len(), 12);
}

#[test]
fn the_host_may_send_by_itself() {
    let mut outbox = Outbox::new();
    outbox.push("one");
    outbox.push("three");
    assert_eq!(outbox.front(), Some((&"one", 0)));
    assert_eq!(outbox.take_sent(2), None);
    assert_eq!(outbox.front(), Some((&"one", 2)));
    assert_eq!((outbox.len_bytes(), outbox.len_buffers()), (6, 2));
    assert_eq!(outbox.take_sent(1), Some("one"));
    assert_eq!(outbox.front(), Some((&"three", 0)));
    assert_eq!(outbox.take_sent(5), Some("three"));
    assert!(outbox.is_empty() && outbox.front().is_none());
}

/// What may happen: a buffer is written, the kernel is offered all, the peer reads some.
#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Flush,
    Receive(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![0_usize..4, 0_usize..9000].prop_map(Step::Push),
        3 => Just(Step::Flush),
        2 => (0_usize..9000).prop_map(Step::Receive),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// However the kernel splits it, the peer reads what was written, in order and once, and every
    /// buffer comes out after its last byte.
    #[test]
    fn behaves_as_a_string_of_bytes(steps in prop::collection::vec(step(), 0..120)) {
        let (left, right) = pair();
        set_socket_send_buffer_size(&left, 4096).expect("SO_SNDBUF");
        let mut outbox = Outbox::new();
        let (mut done, mut pushed) = (Vec::new(), Vec::<Vec<u8>>::new());
        let (mut written, mut received) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Push(size) => {
                    let buffer: Vec<u8> =
                        (written.len()..written.len() + size).map(|at| at.to_le_bytes()[0]).collect();
                    written.extend_from_slice(&buffer);
                    pushed.push(buffer.clone());
                    outbox.push(buffer);
                }
                Step::Flush => {
                    outbox.flush(Channel::Socket, left.as_fd(), &mut done).expect("flush");
                }
                Step::Receive(size) => received.extend(drain(&right, size)),
            }
            prop_assert!(written.starts_with(&received));
            prop_assert!(pushed.starts_with(&done));
            let gone: usize = done.iter().map(Vec::len).sum();
            let left: usize = outbox.iter().map(Vec::len).sum();
            prop_assert_eq!(gone + left, written.len());
            prop_assert!(outbox.len_bytes() <= left);
            prop_assert!(received.len() + outbox.len_bytes() <= written.len());
        }
        loop {
            outbox.flush(Channel::Socket, left.as_fd(), &mut done).expect("flush");
            received.extend(receive_all(&right));
            if outbox.is_empty() {
                break;
            }
        }
        prop_assert_eq!(received, written);
        prop_assert_eq!(done, pushed);
    }
}
