//! The organs of an event loop, without Python and without callbacks.

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod child;
pub mod clock;
mod connect;
mod listener;
mod outbox;
mod poller;
mod pressure;
mod readiness;
mod ready;
mod resolve;
mod signals;
mod stream;
mod sys;
mod table;
mod timers;
mod token;
mod wait;
mod waker;

pub use address::Address;
pub use child::{Child, Exit, await_exit, reap, reap_any};
pub use connect::{Connect, connect, take_error};
pub use listener::{Accept, accept, nodelay};
pub use outbox::{Flushed, Outbox};
pub use poller::{Poller, Refused};
pub use pressure::{InvalidLimits, Pressure, WaterMarks};
pub use readiness::{Interest, Readiness};
pub use ready::Ready;
pub use resolve::{Literal, literal};
pub use signals::Signals;
pub use stream::{Phase, Read, Stream};
pub use sys::borrow_fd;
pub use timers::{Cancel, Timers};
pub use token::Token;
pub use wait::Wait;
pub use waker::Waker;
