//! Children: how they have ended, by pid and by pidfd (S47.3).
//!
//! `reap_any` has a test of its own, and a process: it would take these tests' children.
#![allow(clippy::expect_used, reason = "a test may fail")]

mod common;

use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::NAP;
use ferroloop_engine::{Child, Exit, await_exit, reap};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// A shell that runs `command` once the returned pipe is dropped.
#[allow(clippy::zombie_processes, reason = "reaped by what is tested here")]
fn held(command: &str) -> (i32, ChildStdin) {
    let command = format!("read _; {command}");
    let mut child =
        Command::new("sh").args(["-c", &command]).stdin(Stdio::piped()).spawn().expect("sh");
    let pid = i32::try_from(child.id()).expect("pid");
    (pid, child.stdin.take().expect("piped"))
}

/// A shell that has ended.
fn dead(command: &str) -> i32 {
    let (pid, _) = held(command);
    await_exit(pid).expect("waitid");
    pid
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("pid"), signal).expect("kill");
}

const ENDINGS: [(&str, i32); 5] =
    [("exit 0", 0), ("exit 1", 1), ("exit 255", 255), ("kill -9 $$", -9), ("kill -15 $$", -15)];

/// S45.1.
#[test]
fn codes_by_pid() {
    for (command, code) in ENDINGS {
        assert_eq!(reap(dead(command)).expect("reap"), Exit::Code(code), "{command}");
    }
}

/// S45.2, S45.4, S38.10.
#[test]
fn a_pid_that_has_not_ended_or_is_nobody() {
    let (pid, gate) = held("exit 3");
    assert_eq!(reap(pid).expect("reap"), Exit::Running);
    drop(gate);
    await_exit(pid).expect("waitid");
    assert_eq!(reap(pid).expect("reap"), Exit::Code(3));
    assert_eq!(reap(pid).expect("reap"), Exit::Unknown);
    for wrong in [0, -1, -pid] {
        let invalid = Errno::INVAL.raw_os_error();
        assert_eq!(reap(wrong).expect_err("a group").raw_os_error(), Some(invalid));
        assert_eq!(await_exit(wrong).expect_err("a group").raw_os_error(), Some(invalid));
        assert_eq!(Child::open(wrong).expect_err("a group").raw_os_error(), Some(invalid));
    }
}

/// S41.8, S45.4: waiting reaps nothing, and a stop does not end it.
#[test]
fn awaiting_an_end() {
    let (pid, gate) = held("exit 3");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            await_exit(pid).expect("waitid");
            over.store(true, Ordering::SeqCst);
        });
        for signal in [Signal::STOP, Signal::CONT] {
            kill(pid, signal);
            thread::sleep(NAP);
            assert!(!over.load(Ordering::SeqCst), "{signal:?}");
        }
        drop(gate);
    });
    await_exit(pid).expect("at once");
    assert_eq!(reap(pid).expect("reap"), Exit::Code(3));
    await_exit(pid).expect("nobody to wait for");
}

/// S43.1.
#[test]
fn support_is_what_the_build_says() {
    if cfg!(ferroloop_force_waitpid) {
        assert!(!Child::supported());
        let error = Child::open(dead("exit 0")).expect_err("forced");
        assert_eq!(error.raw_os_error(), Some(Errno::NOSYS.raw_os_error()));
    } else {
        assert_eq!(Child::supported(), cfg!(target_os = "linux"));
    }
}

#[cfg(all(target_os = "linux", not(ferroloop_force_waitpid)))]
mod by_pidfd {
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use ferroloop_engine::{Interest, Poller};
    use rustix::io::{FdFlags, fcntl_getfd};

    use super::common::{is_quiet, ready};
    use super::*;

    /// S42.1, S42.9, S45.1: dead before or after.
    #[test]
    fn codes() {
        for (command, code) in ENDINGS {
            let child = Child::open(dead(command)).expect("pidfd");
            assert_eq!(child.try_wait().expect("waitid"), Exit::Code(code), "{command}");
            assert_eq!(child.try_wait().expect("waitid"), Exit::Unknown, "{command}");
        }
    }

    /// S42.1, S45.4: the poller sleeps until the end; a stop is none.
    #[test]
    fn readable_at_the_end() {
        let (pid, gate) = held("exit 4");
        let child = Child::open(pid).expect("pidfd");
        let mut poller = Poller::new().expect("poller");
        poller.insert(child.fd().as_raw_fd(), Interest::READ, "child").expect("insert");
        assert!(is_quiet(&mut poller));
        kill(pid, Signal::STOP);
        assert!(is_quiet(&mut poller));
        assert_eq!(child.try_wait().expect("waitid"), Exit::Running);
        kill(pid, Signal::CONT);
        drop(gate);
        assert_eq!(ready(&mut poller, Duration::from_secs(10)), ["child"]);
        assert_eq!(child.try_wait().expect("waitid"), Exit::Code(4));
    }

    /// S42.2: the pidfd knows that its process is gone, whoever has the pid by then.
    #[test]
    fn reaped_by_somebody_else() {
        let (pid, gate) = held("exit 5");
        let child = Child::open(pid).expect("pidfd");
        drop(gate);
        await_exit(pid).expect("waitid");
        assert_eq!(reap(pid).expect("reap"), Exit::Code(5));
        assert_eq!(child.try_wait().expect("waitid"), Exit::Unknown);
        let gone = Child::open(pid).expect_err("reaped");
        assert_eq!(gone.raw_os_error(), Some(Errno::SRCH.raw_os_error()), "S42.4");
    }

    /// S42.8.
    #[test]
    fn closed_on_exec() {
        let child = Child::open(dead("exit 0")).expect("pidfd");
        assert!(fcntl_getfd(child.fd()).expect("fcntl").contains(FdFlags::CLOEXEC));
        assert_eq!(child.try_wait().expect("waitid"), Exit::Code(0));
    }
}
