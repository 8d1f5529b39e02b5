//! Pipes: what can serve as one, both ends as streams, and a writer that outlives its readers
//! (S47.4).
#![allow(clippy::expect_used, reason = "a test may fail")]

mod common;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use common::NAP;
use ferroloop_engine::{Channel, Interest, Phase, PipeKind, Poller, Read, Stream, set_nonblocking};

/// A pipe whose ends do not block: (read end, write end).
fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    for end in [&reader, &writer] {
        set_nonblocking(end.as_fd()).expect("ioctl");
    }
    (reader.into(), writer.into())
}

fn kind(fd: impl AsFd) -> Option<PipeKind> {
    PipeKind::of(fd.as_fd()).expect("fstat")
}

/// S30.1, S31.1.
#[test]
fn kinds_are_told_apart() {
    let (reader, writer) = pipe();
    assert_eq!(kind(&reader), Some(PipeKind::Pipe));
    assert_eq!(kind(&writer), Some(PipeKind::Pipe));
    assert_eq!(kind(common::pair().0), Some(PipeKind::Socket));
    assert_eq!(kind(File::open("/dev/null").expect("open")), Some(PipeKind::CharacterDevice));
    assert_eq!(kind(common::regular_file()), None);
    assert_eq!(kind(File::open("/").expect("open")), None);
}

/// S31.4: a named FIFO is a pipe, except where its writing end is blind.
#[test]
fn a_fifo_is_a_pipe() {
    let path = std::env::temp_dir().join(format!("ferroloop-fifo-{}", std::process::id()));
    // mkfifo(1): rustix has the call for most systems, not for macOS.
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let both = File::options().read(true).write(true).open(&path).expect("open");
    let named = kind(&both);
    std::fs::remove_file(&path).expect("unlink");
    let blind = cfg!(any(target_vendor = "apple", target_os = "solaris"));
    assert_eq!(named, Some(if blind { PipeKind::BlindFifo } else { PipeKind::Pipe }));
}

/// S31.4.
#[test]
fn lost_readers_are_told_by_pipes_and_sockets() {
    assert!(PipeKind::Pipe.tells_of_lost_reader());
    assert!(PipeKind::Socket.tells_of_lost_reader());
    assert!(!PipeKind::CharacterDevice.tells_of_lost_reader());
    assert!(!PipeKind::BlindFifo.tells_of_lost_reader());
}

/// S30.2: the mode belongs to the open file.
#[test]
fn nonblocking_is_set_for_every_copy() {
    let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
    let copy: OwnedFd = reader.try_clone().expect("dup");
    set_nonblocking(reader.as_fd()).expect("ioctl");
    let error = File::from(copy).read(&mut [0; 1]).expect_err("empty");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_read_end_reads_to_the_end() {
    let (reader, mut writer) = pipe();
    let mut stream = Stream::<Vec<u8>>::new(Channel::ReadEnd);
    let mut scratch = [0; 8];
    stream.resume_reading();
    assert_eq!(stream.interest(), Interest::READ);
    assert_eq!(stream.recv(reader.as_fd(), &mut scratch).expect("read"), Read::NotReady);
    writer.write_all(b"bytes").expect("write");
    assert_eq!(stream.recv(reader.as_fd(), &mut scratch).expect("read"), Read::Data(5));
    assert_eq!(scratch, *b"bytes\0\0\0");
    drop(writer);
    assert_eq!(stream.recv(reader.as_fd(), &mut scratch).expect("read"), Read::Eof);
    assert_eq!(stream.interest(), Interest::NONE);
}

/// S31.8, S31.11: what the kernel does not take is kept, one buffer or several.
#[test]
fn a_write_end_keeps_what_does_not_fit() {
    let (mut reader, writer) = pipe();
    let mut stream = Stream::new(Channel::WriteEnd);
    let mut done = Vec::new();
    let big: Vec<u8> = (0..200_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    stream.write(big.clone());
    stream.flush(writer.as_fd(), &mut done).expect("write");
    assert!(!stream.outbox().is_empty());
    stream.write(b"and ".to_vec());
    stream.write(b"more".to_vec());
    assert!(stream.interest().contains(Interest::WRITE));
    let mut received = Vec::new();
    loop {
        let mut portion = vec![0; 50_000];
        let read = reader.read(&mut portion).expect("read");
        received.extend_from_slice(&portion[..read]);
        stream.flush(writer.as_fd(), &mut done).expect("write");
        if stream.outbox().is_empty() {
            break;
        }
    }
    drop(writer);
    reader.read_to_end(&mut received).expect("read");
    assert_eq!(received, [big.as_slice(), b"and more"].concat());
    assert_eq!(done.len(), 3);
}

/// S31.3, S31.5: the reader's end is watched until the last byte is out, even while closing.
#[test]
fn a_lost_reader_makes_the_write_end_readable() {
    let (reader, writer) = pipe();
    let mut stream = Stream::new(Channel::WriteEnd);
    let mut poller = Poller::new().expect("epoll");
    stream.resume_reading();
    stream.write(vec![b'x'; 200_000]);
    stream.flush(writer.as_fd(), &mut Vec::new()).expect("write");
    assert!(stream.close());
    assert_eq!(stream.interest(), Interest::BOTH);
    let number = std::os::fd::AsRawFd::as_raw_fd(&writer);
    poller.insert(number, Interest::READ, ()).expect("watch");
    assert!(common::is_quiet(&mut poller), "a full pipe is not readable");
    drop(reader);
    let events = common::poll(&mut poller, NAP);
    assert!(matches!(events.as_slice(), [(_, readiness, ())] if readiness.readable()));
    stream.lose(&mut Vec::new());
    assert_eq!(stream.interest(), Interest::NONE);
}

/// S31.14: unlike a socket, a closing pipe takes nothing more, be it drained or not.
#[test]
fn a_closing_write_end_takes_no_writes() {
    let mut stream = Stream::new(Channel::WriteEnd);
    stream.write(b"queued".to_vec());
    stream.close();
    assert_eq!(stream.phase(), Phase::Closing);
    assert_eq!(stream.write(b"late".to_vec()), Some(b"late".to_vec()));
}

/// S31.23: a broken pipe is an error, not a signal that kills.
#[test]
fn a_broken_pipe_is_an_error() {
    let (reader, writer) = pipe();
    drop(reader);
    let mut done = Vec::new();
    for buffers in 1..=2 {
        let mut stream = Stream::new(Channel::WriteEnd);
        (0..buffers).for_each(|_| drop(stream.write(b"x".to_vec())));
        let error = stream.flush(writer.as_fd(), &mut done).expect_err("broken pipe");
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    }
}
