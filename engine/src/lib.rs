//! The organs of an event loop, without Python and without callbacks.
//!
//! This crate has no loop. It has what a loop is made of: a [`Poller`] over epoll or kqueue,
//! [`Timers`], the [`Ready`] queue, a [`Waker`] for other threads, the [`Signals`] pipe, child
//! processes ([`Child`]), a [`Resolver`] of names, and the state of a connection ([`Stream`],
//! [`Outbox`], [`Datagrams`], [`WaterMarks`]).
//! The host puts them together, owns every descriptor and every payload, and runs its own code
//! between the calls.
//!
//! # The law: the engine never calls out
//!
//! It is asked and it answers, with a slice, an enum or an [`std::io::Result`]. It takes no closure
//! and no trait object, logs nothing, and drops nothing that belongs to the host: what must die is
//! handed back. The only threads are those of a [`Resolver`], which the host never meets. So a host
//! cannot be re-entered in the middle of an operation, and has no exception to carry through one.
//! `WouldBlock` is an answer (`None`, `NotReady`, `Blocked`), not an error; errors keep the
//! kernel's number.
//!
//! # The turn
//!
//! One turn of a loop is always the same, and so is the order of what it queues: first what was
//! queued already, then what the kernel reports, then the timers that are due.
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//! use ferroloop_engine::{Cancel, Poller, Readiness, Ready, Timers, Token, clock};
//!
//! enum Job {
//!     Io(Token, Readiness),
//!     Timer(&'static str),
//! }
//!
//! struct Timer(&'static str);
//!
//! impl Cancel for Timer {
//!     fn is_cancelled(&self) -> bool {
//!         false
//!     }
//! }
//!
//! fn turn(
//!     poller: &mut Poller<()>,
//!     timers: &mut Timers<Timer>,
//!     ready: &mut Ready<Job>,
//! ) -> io::Result<()> {
//!     // How long may it sleep? Not at all if there is work; else to the next deadline.
//!     let mut dead = Vec::new();
//!     timers.purge(&mut dead);
//!     let timeout = if ready.is_empty() {
//!         clock::poll_timeout(timers.next_deadline(), clock::now())
//!     } else {
//!         Some(Duration::ZERO)
//!     };
//!
//!     // Sleep. `run` is the only call that blocks, and borrows nothing.
//!     let mut wait = poller.begin(timeout)?;
//!     wait.run()?;
//!     poller.end(wait);
//!
//!     // Queue what the kernel reports, then what is due.
//!     for (token, readiness, ()) in poller.events() {
//!         ready.push(Job::Io(token, readiness));
//!     }
//!     let now = clock::now();
//!     for Timer(name) in timers.take_due(now, now + clock::due_margin(now)) {
//!         ready.push(Job::Timer(name));
//!     }
//!
//!     // Run what is queued now. What that queues waits for the next turn.
//!     for _ in 0..ready.batch() {
//!         match ready.pop() {
//!             Some(Job::Io(token, _)) => println!("{} is ready", token.fd()),
//!             Some(Job::Timer(name)) => println!("{name} is due"),
//!             None => break,
//!         }
//!     }
//!     Ok(())
//! }
//!
//! # fn main() -> io::Result<()> {
//! let (mut poller, mut timers, mut ready) = (Poller::new()?, Timers::new(), Ready::new());
//! timers.insert(clock::now() + 0.001, Timer("the kettle"));
//! while !timers.is_empty() {
//!     turn(&mut poller, &mut timers, &mut ready)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The `examples` folder has complete programs: an echo server, a clock, signals, children, and
//! threads that hand their results to a sleeping loop.

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod accept;
mod address;
mod channel;
mod child;
pub mod clock;
mod connect;
mod datagram;
mod histogram;
mod idle;
mod lateness;
mod literal;
mod operation;
mod outbox;
mod pace;
mod pipe;
mod poller;
mod pressure;
mod readiness;
mod ready;
mod resolver;
mod rights;
mod sendfile;
mod signals;
mod spin;
mod stream;
mod sys;
mod table;
mod timers;
mod token;
mod virtual_clock;
mod wait;
mod waker;

pub use accept::{Accept, accept};
pub use address::Address;
pub use channel::Channel;
pub use child::{Child, Exit, await_exit, reap, reap_any};
pub use connect::{Connect, connect, take_error};
pub use datagram::{DONTWAIT, Datagram, Datagrams, Delivery, Destination, receive_datagram};
pub use histogram::Histogram;
pub use idle::Idle;
pub use lateness::Lateness;
pub use literal::{Literal, literal};
pub use operation::{try_recv, try_recv_uninit};
pub use outbox::Outbox;
pub use pipe::PipeKind;
pub use poller::{Poller, Refused};
pub use pressure::{InvalidLimits, Pressure, WaterMarks};
pub use readiness::{Interest, Readiness};
pub use ready::Ready;
pub use resolver::{AddressInfo, Answer, LookupError, Query, Resolver};
pub use rights::{RECEIVE_CLOEXEC, Rights, brings_descriptors, descriptors, is_rights};
pub use sendfile::try_sendfile;
pub use signals::Signals;
pub use spin::Spin;
pub use stream::{Phase, Read, Stream};
pub use sys::{borrow_fd, set_nodelay, set_nonblocking, wait_while, wake_one};
pub use timers::{Cancel, Timers};
pub use token::Token;
pub use virtual_clock::VirtualClock;
pub use wait::Wait;
pub use waker::Waker;
