//! The examples do what their first lines promise, and end: loops without an interpreter (S47.1).
//!
//! `cargo test` builds them beside this test.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running example, which does not outlive its test.
struct Example(Child);

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let test = std::env::current_exe().expect("own path");
        let target = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
        let program: PathBuf = target.join("examples").join(name);
        let child = Command::new(&program).args(arguments).stdout(Stdio::piped()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{}: {error}", program.display())))
    }

    fn output(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.0.stdout.take().expect("piped"))
    }

    /// Waits for it to end well, and not forever.
    fn finish(mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.0.try_wait().expect("wait") {
                assert!(status.success(), "{status}");
                return;
            }
            assert!(Instant::now() < deadline, "the example does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn printed(name: &str) -> String {
    let mut example = Example::start(name, &[]);
    let mut text = String::new();
    example.output().read_to_string(&mut text).expect("text");
    example.finish();
    text
}

#[test]
fn clock() {
    assert_eq!(printed("clock"), "tick 1\ntick 2\ntick 3\ntick 4\ntick 5\ndone\n");
}

#[test]
fn wakeups() {
    assert_eq!(printed("wakeups"), "the squares below thirty add up to 8555\n");
}

#[test]
fn signals() {
    let usr1 = libc::SIGUSR1;
    assert_eq!(
        printed("signals"),
        format!("signal {usr1}\nsignal {usr1}\nsignal 15\ngood night\n")
    );
}

#[test]
fn children() {
    let ends = "sleep 0.02; exit 7: Code(7)\nexit 0: Code(0)\nkill -TERM $$: Code(-15)\nexit 255: Code(255)\n";
    assert_eq!(printed("children"), ends);
}

/// A megabyte each from three clients at once, which is more than any buffer on the way holds.
#[test]
fn echo() {
    let mut example = Example::start("echo", &["127.0.0.1:0", "3"]);
    let mut line = String::new();
    example.output().read_line(&mut line).expect("line");
    let address = line.trim_end().strip_prefix("listening on ").expect("address");
    thread::scope(|scope| {
        for text in [b'a', b'b', b'c'].map(|byte| vec![byte; 1 << 20]) {
            scope.spawn(move || assert!(echoed(address, &text) == text));
        }
    });
    example.finish();
}

fn echoed(address: &str, text: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).expect("connect");
    let mut heard = Vec::new();
    thread::scope(|scope| {
        let mut writer = socket.try_clone().expect("dup");
        scope.spawn(move || {
            writer.write_all(text).expect("write");
            writer.shutdown(Shutdown::Write).expect("shutdown");
        });
        socket.read_to_end(&mut heard).expect("read");
    });
    heard
}
