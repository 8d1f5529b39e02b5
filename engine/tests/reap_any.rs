//! Reaping whatever child has ended: alone in its process, because it takes everybody's.
#![allow(clippy::expect_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::process::Command;

use ferroloop_engine::{await_exit, reap_any};

/// S39.5, S45.1: one by one, until none is left that has ended; S39.12: nobody at all is no error.
#[test]
#[allow(clippy::zombie_processes, reason = "reaped by what is tested here")]
fn everybody_in_turn() {
    assert_eq!(reap_any().expect("wait"), None);
    let mut expected = BTreeMap::new();
    for (command, code) in [("exit 0", 0), ("exit 9", 9), ("kill -9 $$", -9)] {
        let child = Command::new("sh").args(["-c", command]).spawn().expect("sh");
        expected.insert(i32::try_from(child.id()).expect("pid"), code);
    }
    for &pid in expected.keys() {
        await_exit(pid).expect("waitid");
    }
    let mut sleeper = Command::new("sleep").arg("60").spawn().expect("sleep");
    let mut found = BTreeMap::new();
    while let Some((pid, code)) = reap_any().expect("wait") {
        assert_eq!(found.insert(pid, code), None);
    }
    assert_eq!(found, expected);
    sleeper.kill().expect("kill");
    sleeper.wait().expect("wait");
}
