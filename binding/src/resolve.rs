//! Literal addresses in the shape of a `getaddrinfo` entry.

use ferroloop_engine::literal;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

/// The one `getaddrinfo` entry of an IP literal, or None if a lookup is needed (S13.4-S13.7).
#[pyfunction]
#[pyo3(signature = (host, port, family, r#type, proto, flowinfo = 0, scopeid = 0))]
pub(crate) fn literal_address<'py>(
    host: &Bound<'py, PyAny>,
    port: &Bound<'py, PyAny>,
    family: i32,
    r#type: i32,
    proto: i32,
    flowinfo: u32,
    scopeid: u32,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = host.py();
    let (Some(port), Some(host)) = (port_number(port)?, host_text(host)?) else {
        return Ok(None);
    };
    let Some(found) = literal(host.to_str()?, family, r#type, proto) else {
        return Ok(None);
    };
    let head = (found.family, r#type, found.proto, "");
    let entry = if found.is_v6() {
        (head.0, head.1, head.2, head.3, (host, port, flowinfo, scopeid)).into_pyobject(py)?
    } else {
        (head.0, head.1, head.2, head.3, (host, port)).into_pyobject(py)?
    };
    Ok(Some(entry.into_any()))
}

/// None, `''` and `b''` mean 0; digits are converted; anything else is a service name.
fn port_number<'py>(port: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = port.py();
    if port.is_none() {
        return Ok(Some(PyInt::new(py, 0).into_any()));
    }
    if port.is_instance_of::<PyInt>() {
        return Ok(Some(port.clone()));
    }
    if port.is_instance_of::<PyString>() || port.is_instance_of::<PyBytes>() {
        if port.len()? == 0 {
            return Ok(Some(PyInt::new(py, 0).into_any()));
        }
        return Ok(py.get_type::<PyInt>().call1((port,)).ok());
    }
    Ok(None)
}

/// The host as text; bytes are decoded as a lookup would decode them.
///
/// Errors: ValueError for a NUL in it. A lookup would end there, and find another host than the one
/// that a program has looked at.
fn host_text<'py>(host: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyString>>> {
    let text = if let Ok(text) = host.cast::<PyString>() {
        text.clone()
    } else if host.is_instance_of::<PyBytes>() {
        host.call_method1(intern!(host.py(), "decode"), ("idna",))?.cast_into::<PyString>()?
    } else {
        return Ok(None);
    };
    if text.to_str().is_ok_and(|text| text.contains('\0')) {
        return Err(pyo3::exceptions::PyValueError::new_err("embedded null character"));
    }
    Ok(Some(text))
}
