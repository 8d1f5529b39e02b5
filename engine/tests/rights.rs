//! Descriptors of messages: numbers in bytes, and duplicates that outlive the originals.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::fs::File;
use std::io::{Read, Write, pipe};
use std::os::fd::AsRawFd;

use ferroloop_engine::{Rights, descriptors, is_rights};

/// Of Unix, wherever there are such messages.
const SCM_RIGHTS: i32 = 1;

#[test]
fn a_piece_of_a_number_is_none() {
    let content = [3_i32.to_ne_bytes(), (-1_i32).to_ne_bytes()].concat();
    assert_eq!(descriptors(&content).collect::<Vec<_>>(), [3, -1]);
    assert_eq!(descriptors(&content[..7]).collect::<Vec<_>>(), [3]);
    assert_eq!(descriptors(&[]).count(), 0);
}

#[test]
fn only_descriptors_are_rights() {
    let socket_level = if cfg!(target_os = "linux") { 1 } else { 0xffff };
    assert!(is_rights(socket_level, SCM_RIGHTS));
    assert!(!is_rights(0, SCM_RIGHTS));
    assert!(!is_rights(socket_level, 2));
}

/// The giver closes his, and the pipe ends with ours.
#[test]
fn duplicates_are_independent() {
    let (mut reader, mut writer) = pipe().expect("pipe");
    writer.write_all(b"before").expect("write");
    let number = writer.as_raw_fd();
    let rights = Rights::of(&number.to_ne_bytes()).expect("fcntl");
    drop(writer);
    let numbers: Vec<_> = descriptors(&rights.content()).collect();
    assert_eq!(numbers.len(), 1);
    assert!(!numbers.contains(&number));
    let mut duplicate = File::create(format!("/dev/fd/{}", numbers[0])).expect("open");
    duplicate.write_all(b" and after").expect("write");
    drop((duplicate, rights));
    let mut received = Vec::new();
    reader.read_to_end(&mut received).expect("read");
    assert_eq!(received, b"before and after");
}

#[test]
fn what_is_no_descriptor_cannot_be_kept() {
    for number in [-1, 1 << 20] {
        let error = Rights::of(&i32::to_ne_bytes(number)).expect_err("no descriptor");
        assert_eq!(error.raw_os_error(), Some(9));
    }
}
