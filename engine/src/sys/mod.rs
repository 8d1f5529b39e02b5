//! Everything that speaks to the operating system, and the only `unsafe` of the crate.
//!
//! One file per mechanism. Exactly one poller backend is compiled, and both offer the same verbs on
//! the same type, `Kernel`, so they can be read side by side:
//!
//! | verb | epoll | kqueue |
//! |---|---|---|
//! | `Kernel::open` | `epoll_create1` | `kqueue` |
//! | `Kernel::change` | `EPOLL_CTL_ADD/MOD/DEL` | `EV_ADD`/`EV_DELETE` per side |
//! | `Interest::ONCE` | `EPOLLONESHOT`, silent until `MOD` | `EV_ONESHOT`, gone until `EV_ADD` |
//! | `Kernel::add_waker` | `EPOLLIN \| EPOLLET` | `EVFILT_READ`, `EV_CLEAR` |
//! | `Kernel::as_fd` | readable while there are events | the same |
//! | `Kernel::wait` | `epoll_wait`, `ppoll` for the last millisecond | `kevent` |
//! | `Reports` | one per descriptor | one per descriptor and side |

use crate::readiness::Readiness;
use crate::token::Token;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "epoll.rs"]
mod poll;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "kqueue.rs"]
mod poll;

/// How many events one wait may report. The next wait reports what does not fit: the kernel takes
/// descriptors in turn, so nobody starves.
///
/// The messages of so many connections, and the answers to them, stay in the processor's cache
/// until they are written in the turns that follow. With a thousand events, an echo of 10 KiB by
/// streams takes a quarter more time over 256 connections, and half as much again over 1,000.
const EVENTS: usize = 32;

/// What a wait has found: whose descriptor is ready, and on which sides.
pub(crate) type Reports = Vec<(Token, Readiness)>;

mod fd;
mod futex;
mod process;
mod resolve;
mod socket;

pub use fd::{borrow_fd, set_nonblocking};
pub(crate) use fd::{
    check_open, drain, duplicate, file_type, pipe, read, room, write, write_gathered,
};
pub use futex::{wait_while, wake_one};
pub(crate) use poll::Kernel;
pub(crate) use process::{await_exit, pidfd_open, reap_any, reap_pid, reap_pidfd};
pub(crate) use resolve::getaddrinfo;
pub use socket::set_nodelay;
pub(crate) use socket::{
    accept, connect, recv, recv_from, send, send_gathered, send_to, sendfile, shutdown_write,
    socket_error, socket_name, unix_name,
};
