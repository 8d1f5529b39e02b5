//! Ancillary data, which goes along with a message (`cmsg(3)`): descriptors above all.

use ferroloop_engine::{Rights, brings_descriptors, descriptors, is_rights};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PySequence};

use crate::errors::os_error;
use crate::transport::chunk::{self, Chunk};
use crate::{ffi, names};

struct Item {
    level: i32,
    kind: i32,
    content: Chunk,
}

/// What goes along with a message to be sent, as it was when it was given.
#[derive(Default)]
pub(in crate::transport) struct Ancillary {
    items: Vec<Item>,
    /// The descriptors among the items, while the message waits.
    kept: Vec<Rights>,
}

impl Ancillary {
    /// Errors: TypeError for what is no iterable of (level, type, data), OverflowError for a number
    /// that is no C int.
    pub(super) fn from_python(ancdata: &Bound<'_, PyAny>) -> PyResult<Self> {
        let items = ancdata.try_iter()?.map(|item| Item::from_python(&item?));
        Ok(Self { items: items.collect::<PyResult<_>>()?, kept: Vec::new() })
    }

    /// What `socket.sendmsg` takes.
    pub(super) fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.items.iter().map(|item| (item.level, item.kind, &item.content)))
    }

    /// Before the message waits: from now on it has descriptors of its own.
    ///
    /// Errors: OSError if the giver's are none, or there can be no more.
    pub(super) fn keep_descriptors(&mut self, py: Python<'_>) -> PyResult<()> {
        for item in self.items.iter_mut().filter(|item| is_rights(item.level, item.kind)) {
            let own = Rights::of(&item.content).map_err(|error| os_error(py, &error))?;
            item.content = ffi::bytes_of(py, &own.content())?.into();
            self.kept.push(own);
        }
        Ok(())
    }
}

impl Item {
    fn from_python(item: &Bound<'_, PyAny>) -> PyResult<Self> {
        let item = item.cast::<PySequence>().ok();
        let Some(item) = item.filter(|item| item.len().is_ok_and(|length| length == 3)) else {
            return Err(PyTypeError::new_err("ancillary data must be tuples (level, type, data)"));
        };
        Ok(Self {
            level: item.get_item(0)?.extract()?,
            kind: item.get_item(1)?.extract()?,
            content: chunk::of_buffer(&item.get_item(2)?)?,
        })
    }
}

/// Closes the descriptors in the ancillary data of a message that nobody got.
#[cold]
pub(super) fn close_descriptors(ancdata: &Bound<'_, PyAny>) -> PyResult<()> {
    let close = names::os_close(ancdata.py())?;
    for item in ancdata.try_iter()? {
        let (level, kind, content): (i32, i32, Chunk) = item?.extract()?;
        if brings_descriptors(level, kind) {
            // Whatever close(2) says, nobody can do more about them.
            descriptors(&content).for_each(|fd| drop(close.call1((fd,))));
        }
    }
    Ok(())
}
