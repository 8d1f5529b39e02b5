//! `Clients`: who is connected to a server. The native part of `ferroloop._server.Server`, which
//! every connection calls when it begins and when it is lost.

use std::collections::HashMap;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyWeakrefMethods, PyWeakrefReference};

use crate::cell::LoopCell;

/// The transports of a server's connections. Never made by itself.
#[pyclass(frozen, subclass, module = "ferroloop._ferroloop")]
pub(crate) struct Clients {
    cell: LoopCell<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    accepted: u64,
    accept_errors: u64,
    /// Weak, so that a transport that its user drops ends, and its finalizer detaches it. The key
    /// is the transport's address, as the collector may have ended the weak reference before.
    transports: HashMap<usize, Py<PyWeakrefReference>>,
}

impl Clients {
    /// `accept(2)` has given a connection.
    #[inline]
    pub(crate) fn count_accepted(&self, py: Python<'_>) {
        self.cell.with(py, |state, _| state.accepted += 1);
    }

    /// It had no descriptor or memory for one.
    pub(crate) fn count_accept_error(&self, py: Python<'_>) {
        self.cell.with(py, |state, _| state.accept_errors += 1);
    }
}

#[pymethods]
impl Clients {
    #[new]
    #[pyo3(signature = (*_args, **_options))]
    fn __new__(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Self {
        Self { cell: LoopCell::new(State::default()) }
    }

    /// A connection has been made. RuntimeError if the server was closed while it was accepted.
    fn _attach(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let (key, weak) = (address(transport), PyWeakrefReference::new(transport)?.unbind());
        let rest = slf.get().cell.with(py, move |state, _| {
            if state.closed { Err(weak) } else { Ok(state.transports.insert(key, weak)) }
        });
        if rest.is_err() {
            slf.call_method0(intern!(py, "_raise_closed"))?;
        }
        Ok(())
    }

    /// A connection is lost, or its transport was dropped.
    fn _detach(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, key) = (slf.py(), address(transport));
        let (weak, over) = slf.get().cell.with(py, |state, _| {
            let weak = state.transports.remove(&key);
            (weak, state.closed && state.transports.is_empty())
        });
        drop(weak);
        if over {
            slf.call_method0(intern!(py, "_wake"))?;
        }
        Ok(())
    }

    /// No more connections.
    fn _refuse(&self, py: Python<'_>) {
        self.cell.with(py, |state, _| state.closed = true);
    }

    /// How many connections have been accepted, how many there are, and how often the system had
    /// nothing left for one.
    fn _counts(&self, py: Python<'_>) -> (u64, usize, u64) {
        self.cell.with(py, |state, _| (state.accepted, state.transports.len(), state.accept_errors))
    }

    /// The transports of the connections there are.
    fn _transports<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        let weak: Vec<_> = self.cell.with(py, |state, share| {
            state.transports.values().map(|weak| share.share(weak)).collect()
        });
        weak.iter().filter_map(|weak| weak.bind(py).upgrade()).collect()
    }
}

fn address(transport: &Bound<'_, PyAny>) -> usize {
    transport.as_ptr().addr()
}
