//! A Rust future as a coroutine of Python's.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use fragile::Sticky;
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyValueError};
use pyo3::prelude::*;

use crate::lock::lock;
use crate::wake::Wake;

type LocalFuture = Pin<Box<dyn Future<Output = PyResult<Py<PyAny>>>>>;
type Function = Box<dyn FnOnce() -> LocalFuture + Send>;

/// A coroutine for Python to await, or to give to `asyncio.create_task`, `asyncio.run` and the
/// like: a `collections.abc.Coroutine` whose steps are polls of a Rust future.
///
/// It begins in the thread that first awaits it, in whose loop it stays. When its task is
/// cancelled, or an exception is thrown into it, the future is dropped: a Rust future has no other
/// way to end early.
#[pyclass(frozen, module = "ferroloop_futures")]
pub struct Coroutine {
    name: &'static str,
    state: Mutex<State>,
}

enum State {
    Idle(Idle),
    Running,
    Closed,
}

enum Idle {
    Created(Function),
    Suspended(Started),
}

struct Started {
    /// Where it was made it is polled and dropped. One that is let go of in another thread is
    /// dropped when its own ends.
    future: Sticky<LocalFuture>,
    wake: Arc<Wake>,
}

impl Coroutine {
    /// A coroutine that calls `function` when it is first awaited, and ends as that does: with its
    /// value, or raising its `Err`. `name` is what Python shows, as `__qualname__`.
    pub fn new<F, T>(name: &'static str, function: F) -> Self
    where
        F: AsyncFnOnce() -> PyResult<T> + Send + 'static,
        T: for<'py> IntoPyObject<'py>,
    {
        let function: Function = Box::new(|| {
            Box::pin(async {
                let value = function().await?;
                Python::attach(|py| value.into_py_any(py))
            })
        });
        Self { name, state: Mutex::new(State::Idle(Idle::Created(function))) }
    }

    /// A poll. What is returned goes to the task, which waits for it; a `StopIteration` carries the
    /// result.
    fn step<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (idle, mut running) = self.begin()?;
        let mut started = match idle {
            Idle::Created(function) => {
                Started { wake: Wake::new(py)?, future: Sticky::new(function()) }
            }
            Idle::Suspended(started) => started,
        };
        let step = match started.poll() {
            Some(Poll::Ready(result)) => return Err(PyStopIteration::new_err((result?,))),
            Some(Poll::Pending) => started.wake.wait(py),
            None => Err(PyRuntimeError::new_err("a Rust coroutine stays in its thread")),
        };
        running.next = State::Idle(Idle::Suspended(started));
        step
    }

    /// Takes out what there is to be polled or dropped. Until [`Running`] is dropped nobody else
    /// can.
    fn begin(&self) -> PyResult<(Idle, Running<'_>)> {
        let mut state = lock(&self.state);
        match mem::replace(&mut *state, State::Running) {
            State::Idle(idle) => Ok((idle, Running { coroutine: self, next: State::Closed })),
            State::Running => Err(PyValueError::new_err("coroutine already executing")),
            State::Closed => {
                *state = State::Closed;
                Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"))
            }
        }
    }
}

impl Started {
    /// None in another thread than its own.
    fn poll(&mut self) -> Option<Poll<PyResult<Py<PyAny>>>> {
        self.wake.rearm();
        let waker = Waker::from(Arc::clone(&self.wake));
        let mut context = Context::from_waker(&waker);
        self.future.try_with_mut(|future| future.as_mut().poll(&mut context)).ok()
    }
}

/// Sets what comes next when it is dropped: after an error or a panic, too.
struct Running<'a> {
    coroutine: &'a Coroutine,
    next: State,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *lock(&self.coroutine.state) = mem::replace(&mut self.next, State::Closed);
    }
}

#[pymethods]
impl Coroutine {
    #[getter]
    fn __name__(&self) -> &'static str {
        self.name
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.name
    }

    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py)
    }

    /// Tasks send None and nothing else.
    fn send<'py>(
        &self,
        py: Python<'py>,
        _value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.step(py)
    }

    fn throw(&self, exception: Bound<'_, PyAny>) -> PyResult<()> {
        drop(self.begin()?);
        Err(PyErr::from_value(exception))
    }

    fn close(&self) -> PyResult<()> {
        if !matches!(*lock(&self.state), State::Closed) {
            drop(self.begin()?);
        }
        Ok(())
    }
}
