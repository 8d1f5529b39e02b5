//! Nested runs: iterations inside a job of the same loop, which waits for something to happen.
//!
//! They take from the one queue there is, in its order. The batch that is interrupted goes on after
//! them with what is in front of the queue then: nothing runs twice, and nothing is left out.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyListMethods};

use super::EventLoop;
use crate::ffi::Nesting;
use crate::handle::Handle;

impl EventLoop {
    /// Iterates until `ended` has something in it, or a stop request is seen at the end of an
    /// iteration.
    ///
    /// Errors: those of the run, and RecursionError.
    pub(super) fn iterate_nested(
        this: &Bound<'_, Self>,
        ended: &Bound<'_, PyList>,
    ) -> PyResult<()> {
        let _nesting = Nesting::begin()?;
        let suspended = Suspended::begin(this)?;
        // What the job has written may be what it waits for an answer to.
        let outcome =
            Self::uncork(this).and_then(|()| Self::iterate_until(this, || !ended.is_empty()));
        let resumed = suspended.resume(this);
        outcome.and(resumed)
    }

    /// The seconds that jobs have spent in nested runs so far.
    pub(crate) fn nested_seconds(&self, py: Python<'_>) -> f64 {
        self.nested_seconds.with(py, |seconds, _| *seconds)
    }
}

/// What the loop knows of a job that is running, and forgets when it runs others.
struct Suspended {
    corking: bool,
    handle: Option<Py<Handle>>,
    /// In debug mode: when the nested run began, and how many seconds earlier ones took.
    began: Option<(f64, f64)>,
}

impl Suspended {
    fn begin(this: &Bound<'_, EventLoop>) -> PyResult<Self> {
        let (event_loop, py) = (this.get(), this.py());
        let began = if event_loop.debug() {
            Some((EventLoop::now(this)?, event_loop.nested_seconds(py)))
        } else {
            None
        };
        let handle = event_loop.current_handle.with(py, |handle, _| handle.take());
        Ok(Self { corking: event_loop.corks.is_corking(), handle, began })
    }

    fn resume(self, this: &Bound<'_, EventLoop>) -> PyResult<()> {
        let (event_loop, py) = (this.get(), this.py());
        event_loop.set_current_handle(py, self.handle);
        if self.corking {
            event_loop.corks.begin_batch();
        }
        if let Some((began, earlier)) = self.began {
            // Those that were nested in this one are part of it.
            let seconds = earlier + EventLoop::now(this)? - began;
            event_loop.nested_seconds.with(py, |total, _| *total = seconds);
        }
        Ok(())
    }
}
