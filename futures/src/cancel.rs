//! What is called off when nobody waits for it any more.

use pyo3::intern;
use pyo3::prelude::*;

/// A `TimerHandle` or an `asyncio.Future`; dropped, it is cancelled. One that is done stays as it
/// is.
pub(crate) struct CancelOnDrop(pub(crate) Py<PyAny>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            if let Err(error) = self.0.call_method0(py, intern!(py, "cancel")) {
                error.write_unraisable(py, Some(self.0.bind(py)));
            }
        });
    }
}
