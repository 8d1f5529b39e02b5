//! ferroloop's extension module `_ferroloop`: the only code that knows Python. A table of contents.

#![deny(unsafe_code)]
#![allow(
    clippy::unused_self,
    reason = "methods of Python objects take self, whether or not they look at it"
)]

mod acceptor;
mod cell;
mod child;
mod clients;
mod errors;
mod event_loop;
mod ffi;
mod future;
mod handle;
mod heap;
mod job;
mod lost_writes;
mod names;
mod parking;
mod resolve;
mod tls;
mod transport;

use pyo3::prelude::*;

// All state is in cells, which need no GIL (S58.1).
#[pymodule(name = "_ferroloop", gil_used = false)]
fn extension(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("BACKEND", ferroloop_engine::Poller::<()>::NAME)?;
    event_loop::add_class(module)?;
    transport::add_classes(module)?;
    handle::add_classes(module)?;
    module.add_class::<acceptor::Acceptor>()?;
    module.add_class::<clients::Clients>()?;
    tls::add_classes(module)?;
    child::add_to(module)?;
    module.add_function(wrap_pyfunction!(parking::park_waiting, module)?)?;
    module.add_function(wrap_pyfunction!(resolve::literal_address, module)?)
}
