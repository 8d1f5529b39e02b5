//! Waiting for child processes: each one a system call, retried when a signal interrupts it.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Result, retry_on_intr};
use rustix::process::{self, Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus};

/// `pidfd_open(2)`; the descriptor is closed on exec. `ENOSYS` where there is no such call.
#[cfg(all(target_os = "linux", not(ferroloop_force_waitpid)))]
pub(crate) fn pidfd_open(pid: Pid) -> Result<OwnedFd> {
    process::pidfd_open(pid, process::PidfdFlags::empty())
}

/// Reaps the process behind a pidfd if it has ended: `waitid(2)` with `P_PIDFD`.
#[cfg(all(target_os = "linux", not(ferroloop_force_waitpid)))]
pub(crate) fn reap_pidfd(fd: BorrowedFd<'_>) -> Result<Option<i32>> {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let found = retry_on_intr(|| process::waitid(WaitId::PidFd(fd), ended))?;
    Ok(found.map(|status| {
        let code = translate(status.exit_status(), status.terminating_signal());
        code.unwrap_or(status.raw_code())
    }))
}

#[cfg(not(all(target_os = "linux", not(ferroloop_force_waitpid))))]
pub(crate) fn pidfd_open(_pid: Pid) -> Result<OwnedFd> {
    Err(rustix::io::Errno::NOSYS)
}

#[cfg(not(all(target_os = "linux", not(ferroloop_force_waitpid))))]
pub(crate) fn reap_pidfd(_fd: BorrowedFd<'_>) -> Result<Option<i32>> {
    Err(rustix::io::Errno::NOSYS)
}

/// Reaps a child if it has ended: `waitpid(2)` with `WNOHANG`.
pub(crate) fn reap_pid(pid: Pid) -> Result<Option<i32>> {
    let found = retry_on_intr(|| process::waitpid(Some(pid), WaitOptions::NOHANG))?;
    Ok(found.map(|(_, status)| code(status)))
}

/// Reaps any child that has ended: `waitpid(2)` for -1 with `WNOHANG`.
pub(crate) fn reap_any() -> Result<Option<(Pid, i32)>> {
    let found = retry_on_intr(|| process::wait(WaitOptions::NOHANG))?;
    Ok(found.map(|(pid, status)| (pid, code(status))))
}

/// Blocks until a child has ended, and leaves it unreaped: `waitid(2)` with `WNOWAIT`.
///
/// macOS reports a stopped child here as well; that report is taken out of the way, and the wait
/// goes on.
pub(crate) fn await_exit(pid: Pid) -> Result<()> {
    let wait = |options| retry_on_intr(|| process::waitid(WaitId::Pid(pid), options));
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while wait(ended)?.is_some_and(|status| status.stopped()) {
        wait(WaitIdOptions::STOPPED | WaitIdOptions::NOHANG)?;
    }
    Ok(())
}

fn code(status: WaitStatus) -> i32 {
    translate(status.exit_status(), status.terminating_signal()).unwrap_or(status.as_raw())
}

/// The exit status, or minus the number of the signal (S45.1).
fn translate(exit_status: Option<i32>, signal: Option<i32>) -> Option<i32> {
    exit_status.or(signal.map(|number| -number))
}
