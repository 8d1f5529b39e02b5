//! What Python's loop calls when something has happened.

use std::sync::Arc;

use event_listener::Event;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// A callback that notifies all who listen to an event.
#[pyclass(frozen)]
pub(crate) struct Notifier(pub(crate) Arc<Event>);

#[pymethods]
impl Notifier {
    #[pyo3(signature = (*_arguments))]
    fn __call__(&self, _arguments: &Bound<'_, PyTuple>) {
        self.0.notify(usize::MAX);
    }
}
