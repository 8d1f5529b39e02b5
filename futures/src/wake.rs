//! What wakes a coroutine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::event_loop;
use crate::lock::lock;
use crate::mailbox::Mailbox;

/// The waker of one coroutine: it gives the `asyncio.Future` that its task waits for a result.
pub(crate) struct Wake {
    thread: ThreadId,
    mailbox: Arc<Mailbox>,
    /// Whether there was a wake since the last poll began: more of them say nothing new.
    woken: AtomicBool,
    /// Weakly: the task holds it, and whoever holds wakers must not hold the task.
    waiter: Mutex<Option<Py<PyWeakrefReference>>>,
}

impl Wake {
    /// For a coroutine that is first polled in this thread's running loop.
    ///
    /// # Errors
    ///
    /// `RuntimeError`: no loop is running. Those of opening the loop's mailbox.
    pub(crate) fn new(py: Python<'_>) -> PyResult<Arc<Self>> {
        Ok(Arc::new(Self {
            thread: thread::current().id(),
            mailbox: event_loop::mailbox(&event_loop::running(py)?)?,
            woken: AtomicBool::new(false),
            waiter: Mutex::new(None),
        }))
    }

    /// A poll begins: what woke the coroutine so far is why.
    pub(crate) fn rearm(&self) {
        self.woken.store(false, Ordering::Release);
    }

    /// What the coroutine yields to its task after a poll that was not ready: a future to wait for,
    /// or None, "call me again soon", if it was woken already.
    ///
    /// A wake from another thread may come just after we looked. It comes by mail then, and finds
    /// the waiter when the loop reads it.
    pub(crate) fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.woken.load(Ordering::Acquire) {
            return Ok(py.None().into_bound(py));
        }
        let waiter = event_loop::running(py)?.call_method0(intern!(py, "create_future"))?;
        *lock(&self.waiter) = Some(PyWeakrefReference::new(&waiter)?.unbind());
        // A future that is awaited yields itself, marked for the task that is to wait for it.
        let yielded = waiter.try_iter()?.next();
        yielded.unwrap_or_else(|| Err(PyRuntimeError::new_err("a new future was done")))
    }

    /// In the loop's thread: the task goes on in the next iteration. Nothing happens if it does not
    /// wait, or if what it waited for was cancelled.
    pub(crate) fn resume(&self, py: Python<'_>) {
        let waiter = lock(&self.waiter).take();
        let Some(waiter) = waiter.and_then(|waiter| waiter.bind(py).upgrade()) else { return };
        if let Err(error) = set_result(&waiter) {
            error.write_unraisable(py, Some(&waiter));
        }
    }
}

fn set_result(waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = waiter.py();
    if !waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
        waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}

impl std::task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        if thread::current().id() == self.thread {
            Python::try_attach(|py| self.resume(py));
        } else {
            self.mailbox.post(Arc::clone(self));
        }
    }
}
