//! The loop that is running, and its mailbox.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::mailbox::{Delivery, Mailbox};

/// `asyncio.get_running_loop()`.
pub(crate) fn running(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET_RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()
}

/// A loop that may go away: who is kept by the loop must not keep it.
#[derive(Debug)]
pub(crate) struct WeakLoop(Py<PyWeakrefReference>);

impl WeakLoop {
    pub(crate) fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(PyWeakrefReference::new(event_loop)?.unbind()))
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.0.bind(py).upgrade()
    }
}

/// The mailbox of `event_loop`, which must be running in this thread. The first who asks opens it.
pub(crate) fn mailbox(event_loop: &Bound<'_, PyAny>) -> PyResult<Arc<Mailbox>> {
    if let Some(known) = known(event_loop) {
        return Ok(known);
    }
    let mailbox = Arc::new(Mailbox::open()?);
    let delivery = Delivery(Arc::clone(&mailbox));
    event_loop.call_method1(intern!(event_loop.py(), "add_reader"), (mailbox.fd(), delivery))?;
    let opened = (WeakLoop::new(event_loop)?, Arc::downgrade(&mailbox));
    MAILBOXES.with_borrow_mut(|mailboxes| mailboxes.push(opened));
    Ok(mailbox)
}

thread_local! {
    /// The mailboxes of this thread's loops. The loops own them, as what their readers call.
    static MAILBOXES: RefCell<Vec<(WeakLoop, Weak<Mailbox>)>> = const { RefCell::new(Vec::new()) };
}

fn known(event_loop: &Bound<'_, PyAny>) -> Option<Arc<Mailbox>> {
    let py = event_loop.py();
    MAILBOXES.with_borrow_mut(|mailboxes| {
        mailboxes.retain(|(_, mailbox)| mailbox.strong_count() > 0);
        let is_ours = |known: &&(WeakLoop, _)| known.0.get(py).is_some_and(|it| it.is(event_loop));
        mailboxes.iter().find(is_ours).and_then(|(_, mailbox)| mailbox.upgrade())
    })
}
