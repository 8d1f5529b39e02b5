//! A connection's life: reading, writing, half-closing, closing.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod common;

use std::io::{ErrorKind, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use common::{drain, fill, pair};
use ferroloop_engine::{Channel, Interest, Phase, Read, Stream};

/// A stream over one end of a pair, and the peer.
struct Connection {
    stream: Stream<Vec<u8>>,
    socket: UnixStream,
    peer: UnixStream,
    done: Vec<Vec<u8>>,
}

impl Connection {
    fn open() -> Self {
        let (socket, peer) = pair();
        Self { stream: Stream::new(Channel::Socket), socket, peer, done: Vec::new() }
    }

    fn recv(&mut self) -> Vec<u8> {
        let mut scratch = [0; 16];
        match self.stream.recv(self.socket.as_fd(), &mut scratch).expect("recv") {
            Read::Data(length) => scratch[..length].to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// Whether everything is with the kernel then.
    fn flush(&mut self) -> bool {
        self.stream.flush(self.socket.as_fd(), &mut self.done).expect("flush");
        self.stream.outbox().is_empty()
    }

    fn write_eof(&mut self) {
        self.stream.write_eof(self.socket.as_fd()).expect("shutdown");
    }

    /// What the peer would read: bytes, end of file (empty), or nothing yet.
    fn peer_reads(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 16];
        match std::io::Read::read(&mut &self.peer, &mut buffer) {
            Ok(read) => Some(buffer[..read].to_vec()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                None
            }
        }
    }
}

#[test]
fn a_new_stream_is_open_and_silent() {
    let connection = Connection::open();
    assert_eq!(connection.stream.phase(), Phase::Open);
    assert_eq!(connection.stream.interest(), Interest::NONE);
    assert!(!connection.stream.is_reading());
    assert!(connection.stream.outbox().is_empty());
}

#[test]
fn reading_gives_bytes_nothing_or_the_end() {
    let mut connection = Connection::open();
    let mut scratch = [0; 16];
    let read = connection.stream.recv(connection.socket.as_fd(), &mut scratch);
    assert_eq!(read.expect("recv"), Read::NotReady);

    connection.peer.write_all(b"hello, this is more than sixteen").expect("write");
    assert_eq!(connection.recv(), b"hello, this is m");
    assert_eq!(connection.recv(), b"ore than sixteen");

    connection.peer.shutdown(std::net::Shutdown::Write).expect("shutdown");
    let read = connection.stream.recv(connection.socket.as_fd(), &mut scratch);
    assert_eq!(read.expect("recv"), Read::Eof);
    assert!(connection.stream.eof_received());
}

/// S16.24.
#[test]
fn pausing_and_resuming_are_idempotent() {
    let mut stream = Stream::<Vec<u8>>::new(Channel::Socket);
    assert!(!stream.pause_reading());
    assert!(stream.resume_reading());
    assert!(!stream.resume_reading());
    assert_eq!(stream.interest(), Interest::READ);
    assert!(stream.pause_reading());
    assert!(!stream.pause_reading());
    assert_eq!(stream.interest(), Interest::NONE);

    stream.resume_reading();
    stream.close();
    assert!(!stream.pause_reading(), "ignored when closing");
    assert!(!stream.resume_reading(), "ignored when closing");
    assert_eq!(stream.interest(), Interest::NONE);
}

/// What the last read brought decides where the next one goes: plenty goes to its place, unless it
/// filled what was lent, which is a reason to lend more.
#[test]
fn plenty_is_read_in_place() {
    let (socket, mut peer) = pair();
    let mut stream = Stream::<Vec<u8>>::new(Channel::Socket);
    let mut scratch = vec![0; 64 * 1024];
    let mut room = vec![MaybeUninit::uninit(); 20 * 1024];
    let message: Vec<u8> = (0..=u8::MAX).cycle().take(room.len()).collect();
    assert!(!stream.reads_in_place());

    peer.write_all(&message).expect("write");
    assert_eq!(stream.recv(socket.as_fd(), &mut scratch).expect("recv"), Read::Data(message.len()));
    assert_eq!(scratch[..message.len()], message);
    assert!(stream.reads_in_place());

    peer.write_all(&message[1..]).expect("write");
    let read = stream.recv_uninit(socket.as_fd(), &mut room).expect("recv");
    assert_eq!(read, Read::Data(message.len() - 1));
    assert!(stream.reads_in_place());

    peer.write_all(&message).expect("write");
    assert_eq!(
        stream.recv_uninit(socket.as_fd(), &mut room).expect("recv"),
        Read::Data(room.len())
    );
    assert!(!stream.reads_in_place(), "there may have been more");

    peer.write_all(&message).expect("write");
    stream.recv(socket.as_fd(), &mut scratch).expect("recv");
    peer.write_all(b"little").expect("write");
    assert_eq!(stream.recv_uninit(socket.as_fd(), &mut room).expect("recv"), Read::Data(6));
    assert!(!stream.reads_in_place());
}

/// S16.8: after the peer's end there is nothing to read, but writing goes on.
#[test]
fn the_peers_end_stops_reading_only() {
    let mut connection = Connection::open();
    connection.stream.resume_reading();
    connection.peer.shutdown(std::net::Shutdown::Write).expect("shutdown");
    let mut scratch = [0; 16];
    connection.stream.recv(connection.socket.as_fd(), &mut scratch).expect("recv");
    assert_eq!(connection.stream.interest(), Interest::NONE);
    assert_eq!(connection.stream.phase(), Phase::Open);
    assert_eq!(connection.stream.write(b"still here".to_vec()), None);
    assert!(connection.flush());
    assert_eq!(drain(&connection.peer, 99), b"still here");
}

/// S16.8: where the host could not act on it.
#[test]
fn an_end_forgotten_is_met_again() {
    let Connection { mut stream, socket, peer, .. } = Connection::open();
    stream.resume_reading();
    drop(peer);
    for _ in 0..2 {
        assert!(stream.is_reading());
        let read = stream.recv(socket.as_fd(), &mut [0; 16]);
        assert_eq!(read.expect("recv"), Read::Eof);
        assert!(!stream.is_reading());
        stream.forget_eof();
    }
}

/// S16.8: each reader is told once, and one that comes later when he resumes reading.
#[test]
fn another_reader_meets_the_end_again() {
    let Connection { mut stream, socket, peer, .. } = Connection::open();
    stream.resume_reading();
    drop(peer);
    stream.recv(socket.as_fd(), &mut [0; 16]).expect("recv");
    stream.change_reader();
    assert!(!stream.is_reading());

    stream.pause_reading();
    stream.change_reader();
    assert!(!stream.is_reading());
    stream.resume_reading();
    assert!(stream.is_reading());
    assert_eq!(stream.recv(socket.as_fd(), &mut [0; 16]).expect("recv"), Read::Eof);
}

/// S16.14: what the kernel does not take is waited for.
#[test]
fn unsent_bytes_ask_for_writability() {
    let mut connection = Connection::open();
    connection.stream.resume_reading();
    fill(&connection.socket);
    connection.stream.write(b"late".to_vec());
    assert!(!connection.flush());
    assert_eq!(connection.stream.interest(), Interest::BOTH);
    while !drain(&connection.peer, 65_536).is_empty() {}
    assert!(connection.flush());
    assert_eq!(connection.stream.interest(), Interest::READ);
    assert_eq!(connection.done, [b"late"]);
}

/// S16.23: the end goes after the last byte, and once.
#[test]
fn the_end_follows_the_last_byte() {
    let mut connection = Connection::open();
    connection.stream.write(b"last words".to_vec());
    connection.write_eof();
    assert!(connection.stream.eof_written());
    assert_eq!(connection.peer_reads(), None, "nothing has left yet");
    connection.flush();
    assert_eq!(connection.peer_reads().expect("bytes"), b"last words");
    assert_eq!(connection.peer_reads().expect("the end"), b"");
    connection.write_eof();
    assert_eq!(connection.stream.write(b"too late".to_vec()), Some(b"too late".to_vec()));

    connection.peer.write_all(b"answer").expect("write");
    assert_eq!(connection.recv(), b"answer");
}

#[test]
fn an_empty_outbox_ends_at_once() {
    let mut connection = Connection::open();
    connection.write_eof();
    assert_eq!(connection.peer_reads().expect("the end"), b"");
}

#[test]
fn a_closing_stream_sends_no_end_of_its_own() {
    let mut connection = Connection::open();
    connection.stream.close();
    connection.write_eof();
    assert!(!connection.stream.eof_written());
    assert_eq!(connection.peer_reads(), None);
}

/// S16.19, S17.6: closing stops reading and lets the outbox go out, and what its writer has kept
/// back for when there is room; until the host declares the stream lost.
#[test]
fn closing_drains_the_outbox() {
    let mut connection = Connection::open();
    connection.stream.resume_reading();
    connection.stream.write(b"one ".to_vec());
    assert!(connection.stream.close());
    assert!(!connection.stream.close(), "once");
    assert_eq!(connection.stream.phase(), Phase::Closing);
    assert_eq!(connection.stream.interest(), Interest::WRITE);
    assert_eq!(connection.stream.write(b"two".to_vec()), None, "still draining");
    assert!(connection.flush());
    assert_eq!(drain(&connection.peer, 99), b"one two");
    assert_eq!(connection.stream.write(b"three".to_vec()), None, "kept back");
    assert!(connection.flush());
    assert_eq!(drain(&connection.peer, 99), b"three");
    assert!(connection.stream.lose(&mut Vec::new()));
    assert_eq!(connection.stream.write(b"x".to_vec()), Some(b"x".to_vec()), "lost");
}

/// S16.20, S16.21: lost once, from either phase, with what was unsent handed back.
#[test]
fn losing_happens_once() {
    for closes_first in [false, true] {
        let mut connection = Connection::open();
        connection.stream.resume_reading();
        connection.stream.write(b"unsent".to_vec());
        if closes_first {
            connection.stream.close();
        }
        assert!(connection.stream.lose(&mut connection.done));
        assert!(!connection.stream.lose(&mut connection.done));
        assert_eq!(connection.stream.phase(), Phase::Lost);
        assert_eq!(connection.done, [b"unsent"]);
        assert_eq!(connection.stream.interest(), Interest::NONE);
        assert!(!connection.stream.close());
        assert!(connection.stream.write(b"x".to_vec()).is_some());
        assert_eq!(connection.peer_reads(), None, "nothing was sent");
    }
}

#[test]
fn errors_keep_their_number() {
    let Connection { mut stream, socket, peer, mut done } = Connection::open();
    drop(peer);
    stream.write(b"x".to_vec());
    let error = stream.flush(socket.as_fd(), &mut done).expect_err("gone");
    assert_eq!(error.raw_os_error(), Some(libc::EPIPE));

    let file = common::regular_file();
    let error = stream.recv(file.as_fd(), &mut [0; 16]).expect_err("no socket");
    assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
    assert!(!stream.eof_received());
}
