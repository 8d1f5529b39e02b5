//! The arguments and answers of `socket.getaddrinfo`.

use std::ffi::CString;

use ferroloop_engine::{AddressInfo, Answer, LookupError, Query, literal};
use pyo3::exceptions::{PyTypeError, PyUnicodeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString};

use crate::transport::address_to_python;
use crate::{errors, ffi, names};

/// The one `getaddrinfo` entry of an IP literal, or None if a lookup is needed.
// S13.4-S13.7.
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
    let address = if found.is_v6() {
        (host, port, flowinfo, scopeid).into_pyobject(py)?
    } else {
        (host, port).into_pyobject(py)?
    };
    let entry = (found.family, r#type, found.proto, "", address).into_pyobject(py)?;
    Ok(Some(entry.into_any()))
}

/// None, `''` and `b''` mean 0; what `int` takes is converted; anything else is a service name, or
/// the lookup's business.
fn port_number<'py>(port: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = port.py();
    if port.is_none() {
        return Ok(Some(PyInt::new(py, 0).into_any()));
    }
    if port.is_instance_of::<PyInt>() {
        return Ok(Some(port.clone()));
    }
    let is_text = port.is_instance_of::<PyString>() || port.is_instance_of::<PyBytes>();
    if is_text && port.len()? == 0 {
        return Ok(Some(PyInt::new(py, 0).into_any()));
    }
    match py.get_type::<PyInt>().call1((port,)) {
        Ok(number) => Ok(Some(number)),
        Err(error)
            if error.is_instance_of::<PyTypeError>(py)
                || error.is_instance_of::<PyValueError>(py) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
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
        return Err(PyValueError::new_err("embedded null character"));
    }
    Ok(Some(text))
}

/// The longest label of a name (RFC 1035), which the codec for names insists on.
const MAX_LABEL: usize = 63;

/// The question for the system; Python's audit hooks hear that it will be asked. None for what
/// `socket.getaddrinfo` has to complain about, or might read differently.
pub(crate) fn query<'py>(
    host: &Bound<'py, PyAny>,
    port: &Bound<'py, PyAny>,
    numbers: [i32; 4],
) -> PyResult<Option<Query>> {
    let [family, kind, proto, flags] = numbers;
    let name = if host.is_none() {
        None
    } else {
        let Some(name) = host_name(host)? else { return Ok(None) };
        Some(name)
    };
    let service = if port.is_none() {
        None
    } else {
        let Some(service) = service(port) else { return Ok(None) };
        Some(service)
    };
    let event = ("socket.getaddrinfo", host, port, family, kind, proto);
    names::audit(host.py())?.call1(event)?;
    Ok(Some(Query { host: name, port: service, family, kind, proto, flags }))
}

fn host_name(host: &Bound<'_, PyAny>) -> PyResult<Option<CString>> {
    let name = if let Ok(text) = host.cast_exact::<PyString>() {
        match text.to_str() {
            Ok(text) if is_plain(text) => text.as_bytes().to_vec(),
            _ => match text.call_method1(intern!(host.py(), "encode"), ("idna",)) {
                Ok(name) => name.extract()?,
                Err(error) if error.is_instance_of::<PyUnicodeError>(host.py()) => return Ok(None),
                Err(error) => return Err(error),
            },
        }
    } else if let Ok(name) = host.cast_exact::<PyBytes>() {
        name.as_bytes().to_vec()
    } else {
        return Ok(None);
    };
    // None for a name with a zero byte, which would end it.
    Ok(CString::new(name).ok())
}

/// Whether the codec for names, which takes a while to import, would give the text back.
fn is_plain(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text).split('.');
    text.is_ascii() && labels.into_iter().all(|label| (1..=MAX_LABEL).contains(&label.len()))
}

fn service(port: &Bound<'_, PyAny>) -> Option<CString> {
    let service = if let Ok(number) = port.cast_exact::<PyInt>() {
        number.extract::<i64>().ok()?.to_string().into_bytes()
    } else if let Ok(name) = port.cast_exact::<PyString>() {
        name.to_str().ok()?.as_bytes().to_vec()
    } else {
        port.cast_exact::<PyBytes>().ok()?.as_bytes().to_vec()
    };
    CString::new(service).ok()
}

/// What `socket.getaddrinfo` makes of the system's answer.
pub(crate) fn answer_to_python<'py>(
    py: Python<'py>,
    answer: &Answer,
) -> PyResult<Bound<'py, PyAny>> {
    let infos = match answer {
        Ok(infos) => infos,
        Err(LookupError::System(error)) => return Err(errors::os_error(py, error)),
        Err(LookupError::Resolver(code, text)) => {
            return Err(PyErr::from_value(names::gaierror(py)?.call1((code, text))?));
        }
    };
    let infos = infos.iter().map(|info| info_to_python(py, info));
    Ok(PyList::new(py, infos.collect::<PyResult<Vec<_>>>()?)?.into_any())
}

fn info_to_python<'py>(py: Python<'py>, info: &AddressInfo) -> PyResult<Bound<'py, PyAny>> {
    let family = member(names::address_family(py)?, info.family)?;
    let kind = member(names::socket_kind(py)?, info.kind)?;
    let canonname = ffi::bytes_of(py, &info.canonname)?.call_method0(intern!(py, "decode"))?;
    let address = address_to_python(py, &info.address)?;
    Ok((family, kind, info.proto, canonname, address).into_pyobject(py)?.into_any())
}

/// The enum's member of this number, or the number. To call the class would be to run Python code,
/// in the middle of which a signal handler may raise.
fn member<'py>(class: &Bound<'py, PyAny>, number: i32) -> PyResult<Bound<'py, PyAny>> {
    let members = class.getattr(intern!(class.py(), "_value2member_map_"))?;
    let member = members.cast::<PyDict>()?.get_item(number)?;
    Ok(member.unwrap_or_else(|| PyInt::new(class.py(), number).into_any()))
}
