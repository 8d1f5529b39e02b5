//! All raw C-API of the binding, which PyO3 does not offer or offers at a higher price. A table of
//! contents.
//!
//! * `method`: methods that get their arguments as a slice.
//! * `finalize`: classes with a finalizer.
//! * `recycle`: objects made and dropped by the million; `ends`: whose ends may be nested.
//! * `bytes`: a protocol's buffer as a slice; new `bytes` for which there may be no memory.
//! * `call`: calling what may run until the interpreter ends.
//! * `context`: `contextvars.Context` objects, and entering one around a call.
//! * `handling`: being in an `except` clause.

#![allow(unsafe_code, reason = "one of the binding's addresses for unsafe")]

mod bytes;
mod call;
mod context;
mod ends;
mod finalize;
mod handling;
mod method;
mod recycle;

pub(crate) use bytes::{bytes_of, bytes_of_at_most, with_writable_buffer};
pub(crate) use call::{call, call_method, call_with, call_with_keywords};
pub(crate) use context::{
    Nesting, copy_context, copy_of_context, empty_context, in_context, is_unseen_and_empty,
};
pub(crate) use finalize::{Finalize, add_finalizer};
pub(crate) use handling::handling;
pub(crate) use method::{Arguments, FastMethod, add_method};
pub(crate) use recycle::{
    Recycle, Spares, add_recycling, let_go, make, make_lasting, place_in, reveal,
};
