//! `TimerHandle`: a callback with a deadline, and how the loop's heap holds it.

use std::cmp::Ordering as Order;
use std::sync::atomic::Ordering;

use ferroloop_engine::Cancel;
use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyFloat, PyInt};

use super::Handle;
use crate::ffi::{self, Recycle, Spares};
use crate::names;

/// A callback with a deadline (asyncio.TimerHandle).
#[pyclass(frozen, immutable_type, extends = Handle, weakref, module = "ferroloop._ferroloop")]
pub(crate) struct TimerHandle {
    when: f64,
    /// The deadline as `call_at` got it, if it was an int: it stays one.
    whole: Option<Py<PyInt>>,
}

impl Recycle for TimerHandle {
    type Place = (*mut Self, *mut Handle);

    fn spares() -> &'static Spares<Self::Place> {
        static SPARES: Spares<(*mut TimerHandle, *mut Handle)> = Spares::new();
        &SPARES
    }

    #[inline]
    fn place(this: Borrowed<'_, '_, Self>) -> Self::Place {
        (ffi::place_in(this), Handle::place(this.as_super().as_borrowed()))
    }

    fn lighten((_, handle): &(Self, Handle), py: Python<'_>) {
        Handle::lighten(handle, py);
    }

    #[inline]
    fn bury((timer, handle): (Self, Handle), py: Python<'_>) {
        if let Some(whole) = timer.whole {
            drop(whole.into_bound(py));
        }
        Handle::bury(handle, py);
    }
}

impl TimerHandle {
    /// The collector knows timers from the start: their loop may become garbage while they wait.
    #[inline]
    pub(crate) fn create(
        py: Python<'_>,
        mut handle: Handle,
        when: f64,
        whole: Option<Py<PyInt>>,
    ) -> PyResult<Bound<'_, Self>> {
        *handle.scheduled.get_mut() = true;
        let timer = ffi::make::<Self>(py, (Self { when, whole }, handle))?;
        ffi::reveal(&timer);
        Ok(timer)
    }

    /// The four facts that make two timers equal (S3.8). The deadlines come first: callbacks are
    /// compared only where those are equal.
    fn equals(this: &Bound<'_, Self>, other: &Bound<'_, Self>) -> PyResult<bool> {
        if this.get().when.partial_cmp(&other.get().when) != Some(Order::Equal) {
            return Ok(false);
        }
        let py = this.py();
        let (a, b) = (this.as_super().get(), other.as_super().get());
        let same_callback = match (a.callback(py), b.callback(py)) {
            (Some(a), Some(b)) => a.eq(b)?,
            (None, None) => true,
            _ => false,
        };
        let same_args = match (a.args(py)?, b.args(py)?) {
            (Some(a), Some(b)) => a.eq(b)?,
            (None, None) => true,
            _ => false,
        };
        Ok(same_callback && same_args && a.is_cancelled() == b.is_cancelled())
    }
}

#[pymethods]
impl TimerHandle {
    /// Cancels the callback; harmless if it ran or was cancelled already.
    // The class's own, and not its base's: only of such methods does the interpreter specialize the
    // calls. Most timers are timeouts, which are cancelled.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        Handle::cancel(slf.as_super())
    }

    /// The deadline, in seconds of the loop's clock.
    fn when<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match &self.whole {
            Some(whole) => whole.bind(py).clone().into_any(),
            None => PyFloat::new(py, self.when).into_any(),
        }
    }

    #[getter(_when)]
    fn get_when<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.when(py)
    }

    #[getter(_scheduled)]
    fn get_scheduled(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().get().scheduled.load(Ordering::Relaxed)
    }

    #[getter(__class__)]
    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        names::timer_handle_class(py)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.when.into_pyobject(py)?.hash()
    }

    fn __richcmp__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        operator: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let Ok(other) = other.cast::<Self>() else {
            return Ok(py.NotImplemented().into_bound(py));
        };
        let (a, b) = (slf.get().when, other.get().when);
        let result = match operator {
            CompareOp::Lt => a < b,
            CompareOp::Le => a < b || Self::equals(slf, other)?,
            CompareOp::Gt => a > b,
            CompareOp::Ge => a > b || Self::equals(slf, other)?,
            CompareOp::Eq => Self::equals(slf, other)?,
            CompareOp::Ne => !Self::equals(slf, other)?,
        };
        Ok(result.into_pyobject(py)?.to_owned().into_any())
    }
}

/// A timer as the loop's heap holds it.
pub(crate) struct Scheduled(pub(crate) Py<Handle>);

impl Cancel for Scheduled {
    #[inline]
    fn is_cancelled(&self) -> bool {
        self.0.get().is_cancelled()
    }
}

impl Scheduled {
    /// Out of the heap: from here on it is an ordinary handle.
    #[inline]
    pub(crate) fn into_handle(self) -> Py<Handle> {
        self.0.get().scheduled.store(false, Ordering::Relaxed);
        self.0
    }
}
