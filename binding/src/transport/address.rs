//! Socket addresses in the shapes the `socket` module gives them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use ferroloop_engine::Address;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A tuple for IPv4 and IPv6, a path or abstract name for Unix sockets; None for other families.
pub(crate) fn address_to_python<'py>(
    py: Python<'py>,
    address: &Address,
) -> PyResult<Bound<'py, PyAny>> {
    match address {
        Address::V4(v4) => Ok((v4.ip().to_string(), v4.port()).into_pyobject(py)?.into_any()),
        Address::V6(v6) => {
            let tuple = (v6.ip().to_string(), v6.port(), v6.flowinfo(), v6.scope_id());
            Ok(tuple.into_pyobject(py)?.into_any())
        }
        Address::Path(path) => Ok(OsStr::from_bytes(path).into_pyobject(py)?.into_any()),
        Address::Abstract(name) => {
            Ok(PyBytes::new(py, &[b"\0", name.as_slice()].concat()).into_any())
        }
        Address::Unnamed => Ok("".into_pyobject(py)?.into_any()),
        Address::Other => Ok(py.None().into_bound(py)),
    }
}
