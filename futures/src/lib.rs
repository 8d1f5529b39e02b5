//! Rust futures on the asyncio event loop that is running: no second runtime, no threads.
//!
//! An extension module returns a [`Coroutine`], which Python awaits like any other. The future in
//! it is polled in the loop's thread, by the task that awaits it, so it need not be `Send`, may
//! hold Python objects and sees the task's context variables. A cancelled task drops it.
//!
//! ```ignore
//! #[pyfunction]
//! fn nap(seconds: f64) -> Coroutine {
//!     Coroutine::new("nap", async move || {
//!         sleep(Duration::from_secs_f64(seconds)).await?;
//!         Ok("rested")
//!     })
//! }
//! ```
//!
//! What a future of Python's loop waits for: [`sleep`] for time, [`AsyncFd`] for a descriptor,
//! [`ensure_future`] for anything that Python can await. Everything else of the ecosystem that
//! brings no runtime of its own works as it is: channels, `join!`, `select!`, streams. A waker may
//! be called in any thread; it needs no GIL there, and many wakes of a sleeping loop are one write.
//!
//! Only what asyncio documents of a loop is used, so any asyncio loop will do, and extension
//! modules built with different versions of PyO3 share one. On ferroloop the calls are native.

#![expect(
    clippy::disallowed_methods,
    reason = "a future may have detached the thread it is polled in"
)]

mod async_fd;
mod cancel;
mod coroutine;
mod event_loop;
mod future;
mod lock;
mod mailbox;
mod notifier;
mod sleep;
mod wake;

pub use async_fd::AsyncFd;
pub use coroutine::Coroutine;
pub use future::ensure_future;
pub use sleep::sleep;
