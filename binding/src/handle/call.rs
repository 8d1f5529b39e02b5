//! What a handle calls, and with what.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use crate::cell::Share;
use crate::ffi::{self, Arguments};

/// Up to three arguments inline: most calls cost no tuple.
pub(crate) enum Args {
    None,
    One(Py<PyAny>),
    Two(Py<PyAny>, Py<PyAny>),
    Three(Py<PyAny>, Py<PyAny>, Py<PyAny>),
    More(Py<PyTuple>),
}

impl Args {
    /// The positional arguments from `start` on.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "see Request in event_loop/schedule.rs")]
    pub(crate) fn from_rest(arguments: &Arguments<'_, '_>, start: usize) -> PyResult<Self> {
        let at = |index: usize| {
            arguments.get(start + index).map(|argument| argument.to_owned().unbind())
        };
        match arguments.len().saturating_sub(start) {
            0 => Ok(Self::None),
            1 => Ok(at(0).map_or(Self::None, Self::One)),
            2 => Ok(at(0).zip(at(1)).map_or(Self::None, |(a, b)| Self::Two(a, b))),
            3 => match (at(0), at(1), at(2)) {
                (Some(a), Some(b), Some(c)) => Ok(Self::Three(a, b, c)),
                _ => Ok(Self::None),
            },
            _ => Self::from_many(arguments, start),
        }
    }

    fn from_many(arguments: &Arguments<'_, '_>, start: usize) -> PyResult<Self> {
        let all = PyTuple::new(arguments.py(), arguments.rest(start))?;
        Ok(Self::More(all.unbind()))
    }

    pub(super) fn tuple<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        match self {
            Self::None => Ok(PyTuple::empty(py)),
            Self::One(a) => PyTuple::new(py, [a]),
            Self::Two(a, b) => PyTuple::new(py, [a, b]),
            Self::Three(a, b, c) => PyTuple::new(py, [a, b, c]),
            Self::More(all) => Ok(all.bind(py).clone()),
        }
    }

    /// Drops the references, in whatever thread.
    #[inline]
    fn bury(self, py: Python<'_>) {
        match self {
            Self::None => {}
            Self::One(a) => drop(a.into_bound(py)),
            Self::Two(a, b) => drop((a.into_bound(py), b.into_bound(py))),
            Self::Three(a, b, c) => {
                drop((a.into_bound(py), b.into_bound(py), c.into_bound(py)));
            }
            Self::More(all) => drop(all.into_bound(py)),
        }
    }

    pub(super) fn share(&self, share: Share<'_>) -> Self {
        match self {
            Self::None => Self::None,
            Self::One(a) => Self::One(share.share(a)),
            Self::Two(a, b) => Self::Two(share.share(a), share.share(b)),
            Self::Three(a, b, c) => Self::Three(share.share(a), share.share(b), share.share(c)),
            Self::More(all) => Self::More(share.share(all)),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::None => Ok(()),
            Self::One(a) => visit.call(a),
            Self::Two(a, b) => visit.call(a).and_then(|()| visit.call(b)),
            Self::Three(a, b, c) => [a, b, c].into_iter().try_for_each(|a| visit.call(a)),
            Self::More(all) => visit.call(all),
        }
    }
}

/// What to call, and with what.
pub(crate) struct Call {
    pub(crate) callback: Py<PyAny>,
    pub(crate) args: Args,
}

impl Call {
    #[inline]
    pub(super) fn invoke<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let callback = self.callback.bind(py);
        match &self.args {
            Args::None => ffi::call(callback, []),
            Args::One(a) => ffi::call(callback, [a]),
            Args::Two(a, b) => ffi::call(callback, [a, b]),
            Args::Three(a, b, c) => ffi::call(callback, [a, b, c]),
            Args::More(all) => ffi::call_with(callback, all.bind(py)),
        }
    }

    /// Drops the references, in whatever thread.
    #[inline]
    pub(super) fn bury(self, py: Python<'_>) {
        drop(self.callback.into_bound(py));
        self.args.bury(py);
    }

    pub(super) fn share(&self, share: Share<'_>) -> Self {
        Self { callback: share.share(&self.callback), args: self.args.share(share) }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.callback)?;
        self.args.traverse(visit)
    }
}
