//! Child processes: what happens when one ends. Who watches which child, and how, is Python
//! (`ferroloop._watchers`).

use std::os::fd::AsRawFd;
use std::vec;

use ferroloop_engine::{self as engine, Exit};
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyDict, PySequenceMethods, PyTuple};
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::cell::LoopCell;
use crate::errors::os_error;
use crate::{ffi, names, parking};

/// Reported for a child whose status somebody else has taken (S45.2).
const UNKNOWN_CODE: i32 = 255;

/// A child process under watch by its pidfd, in any loop that has readers.
#[pyclass(frozen, weakref, module = "ferroloop._ferroloop")]
pub(crate) struct Child {
    pid: i32,
    /// None once the end is reported, or not wanted any more.
    cell: LoopCell<Option<Watched>>,
}

struct Watched {
    child: engine::Child,
    event_loop: Py<PyAny>,
    callback: Py<PyAny>,
    args: Py<PyTuple>,
}

#[pymethods]
impl Child {
    #[new]
    fn __new__(
        py: Python<'_>,
        r#loop: Py<PyAny>,
        pid: i32,
        callback: Py<PyAny>,
        args: Py<PyTuple>,
    ) -> PyResult<Self> {
        let watched = Watched {
            child: engine::Child::open(pid).map_err(|error| os_error(py, &error))?,
            event_loop: r#loop,
            callback,
            args,
        };
        Ok(Self { pid, cell: LoopCell::new(Some(watched)) })
    }

    #[pyo3(signature = (r#loop, *_args))]
    fn __init__(
        slf: &Bound<'_, Self>,
        r#loop: &Bound<'_, PyAny>,
        _args: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let fd = slf.get().cell.with(slf.py(), |watched, _| {
            let pidfd = watched.as_ref().map(|watched| watched.child.fd());
            pidfd.map(|pidfd| pidfd.as_raw_fd())
        });
        let add_reader = intern!(slf.py(), "add_reader");
        r#loop.call_method1(add_reader, (fd, slf)).map(drop)
    }

    /// The pidfd is readable: reaps the child, gives the pidfd up, tells the callback.
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        // In one step: who has the child forgotten meanwhile has either done so before it was reaped,
        // or hears that it has ended.
        let ended = self.cell.with(py, |watched, _| {
            let exit = watched.as_ref()?.child.try_wait();
            // While a debugger holds a dead child it cannot be reaped, and is asked for again.
            let runs = matches!(exit, Ok(Exit::Running));
            if runs { None } else { watched.take().map(|watched| (watched, exit)) }
        });
        let Some((watched, exit)) = ended else {
            return Ok(());
        };
        watched.unwatch(py)?;
        drop(watched.child);
        let code = match exit.map_err(|error| os_error(py, &error))? {
            Exit::Code(code) => code,
            Exit::Running | Exit::Unknown => self.status_is_lost(py)?,
        };
        let ended = PyTuple::new(py, [self.pid, code])?;
        let args = ended.as_sequence().concat(watched.args.bind(py).as_sequence())?;
        ffi::call_with(watched.callback.bind(py), args.cast()?)?;
        Ok(())
    }

    /// Stops watching; the child is not reaped. False if its end was reported already.
    fn forget(&self, py: Python<'_>) -> PyResult<bool> {
        let watched = self.cell.with(py, |watched, _| watched.take());
        watched.as_ref().map_or(Ok(()), |watched| watched.unwatch(py))?;
        Ok(watched.is_some())
    }

    fn __repr__(&self) -> String {
        format!("<Child pid={}>", self.pid)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.cell.traverse(&visit, |watched, visit| {
            let Some(watched) = watched else {
                return Ok(());
            };
            visit.call(&watched.event_loop)?;
            visit.call(&watched.callback)?;
            visit.call(&watched.args)
        })
    }

    fn __clear__(&self) {
        self.cell.clear(Option::take);
    }
}

impl Watched {
    /// Has the loop forget the pidfd, which is closed with `self`, and not before.
    fn unwatch(&self, py: Python<'_>) -> PyResult<()> {
        let (remove_reader, fd) = (intern!(py, "remove_reader"), self.child.fd().as_raw_fd());
        self.event_loop.call_method1(py, remove_reader, (fd,)).map(drop)
    }
}

impl Child {
    #[cold]
    fn status_is_lost(&self, py: Python<'_>) -> PyResult<i32> {
        let line = (
            "child process pid %d exit status already read:  will report returncode 255",
            self.pid,
        );
        names::logger(py)?.call_method1(intern!(py, "warning"), line)?;
        Ok(UNKNOWN_CODE)
    }
}

/// The children of a table that have ended, one at a time; see `sweep`.
#[pyclass(frozen, immutable_type, module = "ferroloop._ferroloop")]
pub(crate) struct Sweep {
    table: Py<PyDict>,
    pids: LoopCell<vec::IntoIter<i32>>,
}

#[pymethods]
impl Sweep {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// No Python code runs between the reaping of a child and the taking of its entry: neither a
    /// signal handler nor another thread can find the one without the other.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Ended<'py>>> {
        let table = self.table.bind(py);
        while let Some(pid) = self.pids.with(py, |pids, _| pids.next()) {
            // Where there is no GIL, the table's lock keeps other threads out.
            if let Some(ended) = with_critical_section(table, || take_if_ended(table, pid))? {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }
}

fn take_if_ended<'py>(table: &Bound<'py, PyDict>, pid: i32) -> PyResult<Option<Ended<'py>>> {
    let Some(entry) = table.get_item(pid)? else {
        return Ok(None);
    };
    let code = match engine::reap(pid).map_err(|error| os_error(table.py(), &error))? {
        Exit::Running => return Ok(None),
        Exit::Code(code) => Some(code),
        Exit::Unknown => None,
    };
    table.del_item(pid)?;
    Ok(Some((pid, entry, code)))
}

/// Pid, entry and code; no code if somebody else has taken the status.
type Ended<'py> = (i32, Bound<'py, PyAny>, Option<i32>);

/// Reaps those of `pids` that have ended and are in `table`, and takes them out of it.
#[pyfunction]
pub(crate) fn sweep(table: Py<PyDict>, pids: Vec<i32>) -> Sweep {
    Sweep { table, pids: LoopCell::new(pids.into_iter()) }
}

/// Reaps the child `pid`: its code, None if there is no such child.
#[pyfunction]
pub(crate) fn reap(py: Python<'_>, pid: i32) -> PyResult<Option<i32>> {
    match engine::reap(pid).map_err(|error| os_error(py, &error))? {
        Exit::Code(code) => Ok(Some(code)),
        Exit::Running | Exit::Unknown => Ok(None),
    }
}

/// Reaps any child that has ended: pid and code, None if there is none.
#[pyfunction]
pub(crate) fn reap_any(py: Python<'_>) -> PyResult<Option<(i32, i32)>> {
    engine::reap_any().map_err(|error| os_error(py, &error))
}

/// Blocks until the child `pid` has ended, and does not reap it.
#[pyfunction]
pub(crate) fn await_exit(py: Python<'_>, pid: i32) -> PyResult<()> {
    let ended = parking::wait_detached(py, || engine::await_exit(pid));
    ended.map_err(|error| os_error(py, &error))
}

/// Whether `PidfdChildWatcher` works on this system.
#[pyfunction]
pub(crate) fn can_use_pidfd() -> bool {
    engine::Child::supported()
}

/// Registers the classes and functions.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Child>()?;
    module.add_function(wrap_pyfunction!(sweep, module)?)?;
    module.add_function(wrap_pyfunction!(reap, module)?)?;
    module.add_function(wrap_pyfunction!(reap_any, module)?)?;
    module.add_function(wrap_pyfunction!(await_exit, module)?)?;
    module.add_function(wrap_pyfunction!(can_use_pidfd, module)?)
}
