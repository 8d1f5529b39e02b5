//! Child processes: noticing that they have ended, and how.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

use crate::sys;

/// What waiting for a child finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It has not ended. Stopped is not ended (S45.4).
    Running,
    /// It has ended and is reaped now: its exit status (0 to 255), or minus the number of the
    /// signal that killed it.
    Code(i32),
    /// There is no such child: it was reaped by somebody else, or never was this process's.
    Unknown,
}

/// A child process held by a descriptor of its own, a pidfd (`pidfd_open(2)`).
///
/// The descriptor becomes readable when the process ends. Unlike the pid, which is free for another
/// process once this one is reaped, it never means anybody else. It is closed on exec and on drop.
#[derive(Debug)]
pub struct Child {
    pidfd: OwnedFd,
}

impl Child {
    /// Takes hold of a process; one that has ended but was not reaped will do (S42.9).
    ///
    /// # Errors
    ///
    /// `ESRCH` if it was reaped already, `EINVAL` for a number that is no pid, `EMFILE`, `ENFILE`,
    /// `ENOMEM` of `pidfd_open(2)`; `ENOSYS` where there are no pidfds.
    pub fn open(pid: i32) -> io::Result<Self> {
        let pidfd = sys::pidfd_open(checked(pid)?)?;
        Ok(Self { pidfd })
    }

    /// Whether this system has all that is needed: Linux from 5.4 on, unless a security policy
    /// forbids it. Tried out on the own process (S43.1).
    pub fn supported() -> bool {
        let own = rustix::process::getpid();
        // Linux 5.3 opens pidfds, but cannot wait for them: EINVAL.
        sys::pidfd_open(own)
            .is_ok_and(|pidfd| matches!(Self { pidfd }.try_wait(), Ok(Exit::Unknown)))
    }

    /// The descriptor to be watched for reading.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Reaps the process if it has ended. Never blocks.
    ///
    /// # Errors
    ///
    /// Those of `waitid(2)`, except `ECHILD`, which is [`Exit::Unknown`].
    pub fn try_wait(&self) -> io::Result<Exit> {
        exit(sys::reap_pidfd(self.fd()))
    }
}

/// Reaps the child `pid` if it has ended. Never blocks, touches no other child.
///
/// # Errors
///
/// `EINVAL` for a number that is no pid. That there is no such child is no error, but
/// [`Exit::Unknown`].
pub fn reap(pid: i32) -> io::Result<Exit> {
    exit(sys::reap_pid(checked(pid)?))
}

/// Reaps some child that has ended, whoever started it: its pid and its code (as in
/// [`Exit::Code`]). None if no child has ended, or there is none.
///
/// # Errors
///
/// Those of `waitpid(2)`, except `ECHILD`.
pub fn reap_any() -> io::Result<Option<(i32, i32)>> {
    match sys::reap_any() {
        Err(Errno::CHILD) => Ok(None),
        found => Ok(found?.map(|(pid, code)| (pid.as_raw_pid(), code))),
    }
}

/// Blocks until the child `pid` has ended, and leaves it to be reaped by [`reap`]. Returns at once
/// if there is no such child.
///
/// For a thread that only waits. The loop's own thread reaps the child, between two of its
/// callbacks, so that none of them signals a pid that means another process by then (S41.8).
///
/// # Errors
///
/// `EINVAL` for a number that is no pid.
pub fn await_exit(pid: i32) -> io::Result<()> {
    match sys::await_exit(checked(pid)?) {
        Err(Errno::CHILD) => Ok(()),
        ended => Ok(ended?),
    }
}

/// To the kernel zero and less mean process groups, or every child there is.
fn checked(pid: i32) -> io::Result<Pid> {
    let pid = if pid > 0 { Pid::from_raw(pid) } else { None };
    Ok(pid.ok_or(Errno::INVAL)?)
}

fn exit(found: rustix::io::Result<Option<i32>>) -> io::Result<Exit> {
    match found {
        Ok(None) => Ok(Exit::Running),
        Ok(Some(code)) => Ok(Exit::Code(code)),
        Err(Errno::CHILD) => Ok(Exit::Unknown),
        Err(error) => Err(error.into()),
    }
}
