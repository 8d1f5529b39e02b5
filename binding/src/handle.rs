//! `Handle`: a callback with its arguments and the context it runs in.

mod call;
mod timer;

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{Borrowed, PyTraverseError, PyVisit};

use crate::cell::{LoopCell, Share};
use crate::event_loop::EventLoop;
use crate::ffi::{self, Recycle, Spares};
use crate::{errors, names};

pub(crate) use call::{Args, Call};
pub(crate) use timer::{Scheduled, TimerHandle};

/// How often a thread that cancels looks whether the callback it came too late for has ended.
const CANCEL_POLL: Duration = Duration::from_micros(100);

/// The number of no thread.
const NOBODY: usize = 0;

/// A number that no other living thread has: the address of a variable of this thread's own.
fn this_thread() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| ptr::from_ref(mark).addr())
}

/// What a handle knows only in debug mode.
#[derive(Default)]
struct DebugInfo {
    source_traceback: Option<Py<PyAny>>,
    /// The text of a cancelled handle, taken while the callback was still there.
    repr: Option<Py<PyAny>>,
}

impl DebugInfo {
    /// Drops the references, in whatever thread.
    #[cold]
    fn bury(self, py: Python<'_>) {
        let texts = [self.source_traceback, self.repr];
        drop(texts.map(|text| text.map(|text| text.into_bound(py))));
    }

    #[cold]
    fn record(py: Python<'_>) -> PyResult<Box<Self>> {
        let source_traceback = Some(names::source_traceback(py)?.call0()?.unbind());
        Ok(Box::new(Self { source_traceback, repr: None }))
    }
}

#[derive(Default)]
struct State {
    /// Taken out when the callback runs or is cancelled, so that a handle kept by somebody keeps
    /// nothing else alive.
    call: Option<Call>,
    /// None stands for an empty one that nobody has seen; see `lighten`.
    context: Option<Py<PyAny>>,
    debug: Option<Box<DebugInfo>>,
}

impl State {
    #[inline]
    fn share_context(&self, share: Share<'_>) -> Option<Py<PyAny>> {
        self.context.as_ref().map(|context| share.share(context))
    }
}

/// One scheduled callback (asyncio.Handle).
#[pyclass(frozen, immutable_type, subclass, weakref, module = "ferroloop._ferroloop")]
pub(crate) struct Handle {
    event_loop: Py<EventLoop>,
    cancelled: AtomicBool,
    /// Among the loop's timers: only then does a cancellation count there.
    scheduled: AtomicBool,
    /// Scheduled by `call_soon_threadsafe`.
    threadsafe: bool,
    /// The thread in which the callback of such a handle runs; see `Handle::cancel`.
    runner: AtomicUsize,
    cell: LoopCell<State>,
}

impl Recycle for Handle {
    type Place = *mut Self;

    fn spares() -> &'static Spares<Self::Place> {
        static SPARES: Spares<*mut Handle> = Spares::new();
        &SPARES
    }

    #[inline]
    fn place(this: Borrowed<'_, '_, Self>) -> Self::Place {
        ffi::place_in(this)
    }

    /// Gives up a context that is an empty copy until somebody needs it: the copies of a burst
    /// would all be allocated anew, and the collector would look through all of them.
    #[cold]
    fn lighten(value: &Self, py: Python<'_>) {
        let context = value.cell.with(py, |state, _| state.context.take());
        let context = context.map(|context| context.into_bound(py));
        let kept = context.filter(|context| !ffi::is_unseen_and_empty(context)).map(Bound::unbind);
        value.cell.with(py, move |state, _| state.context = kept);
    }

    #[inline]
    fn bury(value: Self, py: Python<'_>) {
        let State { call, context, debug } = value.cell.into_inner();
        drop(value.event_loop.into_bound(py));
        if let Some(context) = context {
            drop(context.into_bound(py));
        }
        if let Some(call) = call {
            call.bury(py);
        }
        if let Some(debug) = debug {
            debug.bury(py);
        }
    }
}

impl Handle {
    /// A handle for `call` in `context`.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "see Request in event_loop/schedule.rs")]
    pub(crate) fn new(
        event_loop: &Bound<'_, EventLoop>,
        call: Call,
        context: Bound<'_, PyAny>,
        threadsafe: bool,
    ) -> PyResult<Self> {
        let py = event_loop.py();
        let debug = if event_loop.get().debug() { Some(DebugInfo::record(py)?) } else { None };
        Ok(Self {
            event_loop: event_loop.clone().unbind(),
            cancelled: AtomicBool::new(false),
            scheduled: AtomicBool::new(false),
            threadsafe,
            runner: AtomicUsize::new(NOBODY),
            cell: LoopCell::new(State { call: Some(call), context: Some(context.unbind()), debug }),
        })
    }

    /// Runs the callback and gives it away; in debug mode it stays, for the messages about it.
    #[inline]
    pub(crate) fn run(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let handle = this.get();
        if handle.event_loop.get().debug() {
            return Self::run_again(this);
        }
        let call = handle.cell.with(py, |state, _| {
            handle.begin(state);
            state.call.take()
        });
        let Some(call) = call else { return Ok(()) };
        match handle.invoke(py, &call) {
            Ok(()) => {
                call.bury(py);
                Ok(())
            }
            Err(error) => {
                // The report shows the callback, so it is put back, unless it has cancelled itself.
                let mut call = Some(call);
                if !handle.is_cancelled() {
                    call =
                        handle.cell.with(py, |state, _| std::mem::replace(&mut state.call, call));
                }
                drop(call);
                errors::callback_failed(this, error)
            }
        }
    }

    /// Runs the callback of a reader, writer or signal, which stays for the next event.
    #[inline]
    pub(crate) fn run_again(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let handle = this.get();
        let call = handle.cell.with(py, |state, share| {
            handle.begin(state);
            state.call.as_ref().map(|call| call.share(share))
        });
        let Some(call) = call else { return Ok(()) };
        match handle.invoke(py, &call) {
            Ok(()) => Ok(()),
            Err(error) => errors::callback_failed(this, error),
        }
    }

    /// The call, if there is one, is about to be invoked. Said with the cell open: who cancels has
    /// either taken the call out before, or finds the runner afterwards.
    #[inline]
    fn begin(&self, state: &State) {
        if self.threadsafe && state.call.is_some() {
            self.runner.store(this_thread(), Ordering::Relaxed);
        }
    }

    #[inline]
    fn invoke(&self, py: Python<'_>, call: &Call) -> PyResult<()> {
        let outcome = self
            .context(py)
            .and_then(|context| ffi::in_context(&context, || call.invoke(py)).map(drop));
        if self.threadsafe {
            self.runner.store(NOBODY, Ordering::Release);
        }
        outcome
    }

    #[cold]
    fn make_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let made = ffi::empty_context(py)?.unbind();
        let (context, surplus) = self.cell.with(py, move |state, share| {
            match state.share_context(share) {
                // Making one may have run a finalizer that asked for it too.
                Some(context) => (context, Some(made)),
                None => (share.share(state.context.insert(made)), None),
            }
        });
        drop(surplus.map(|context| context.into_bound(py)));
        Ok(context.into_bound(py))
    }

    /// Takes the call out of a handle that is cancelled, and waits until a thread-safe callback that
    /// another thread is running has ended: it has either finished then or will never start
    /// (S3.11). Signals are heard meanwhile.
    fn revoke(&self, py: Python<'_>) -> PyResult<()> {
        drop(self.cell.with(py, |state, _| state.call.take()));
        self.wait_while_running(py)
    }

    fn wait_while_running(&self, py: Python<'_>) -> PyResult<()> {
        while ![NOBODY, this_thread()].contains(&self.runner.load(Ordering::Acquire)) {
            py.check_signals()?;
            py.detach(|| std::thread::sleep(CANCEL_POLL));
        }
        Ok(())
    }

    /// The texts of the callback, for messages.
    pub(crate) fn callback_text<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        let handle = this.get();
        let debug = handle.event_loop.get().debug();
        names::callback_text(py)?.call1((handle.callback(py), handle.args(py)?, debug))
    }

    fn remember_repr(this: &Bound<'_, Self>) -> PyResult<()> {
        let text = names::handle_repr(this.py())?.call1((this,))?.unbind();
        let old = this
            .get()
            .cell
            .with(this.py(), |state, _| state.debug.get_or_insert_default().repr.replace(text));
        drop(old);
        Ok(())
    }
}

#[pymethods]
impl Handle {
    /// Cancels the callback; harmless if it ran or was cancelled already.
    pub(crate) fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let handle = slf.get();
        if handle.is_cancelled() {
            return handle.revoke(py);
        }
        handle.cancelled.store(true, Ordering::Relaxed);
        if handle.scheduled.load(Ordering::Relaxed) {
            handle.event_loop.get().timer_cancelled(py);
        }
        if handle.event_loop.get().debug() {
            Self::remember_repr(slf)?;
        }
        handle.revoke(py)
    }

    /// True after `cancel()`. In another thread, waits while the callback is running.
    fn cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        if self.is_cancelled() {
            self.revoke(py)?;
        } else {
            self.wait_while_running(py)?;
        }
        Ok(self.is_cancelled())
    }

    /// The `contextvars.Context` the callback runs in.
    #[pyo3(name = "get_context")]
    #[inline]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.cell.with(py, |state, share| state.share_context(share)) {
            Some(context) => Ok(context.into_bound(py)),
            None => self.make_context(py),
        }
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        names::handle_repr(slf.py())?.call1((slf,))
    }

    /// Makes `isinstance(handle, asyncio.Handle)` true: that class has slots, which a native
    /// class cannot share.
    #[getter(__class__)]
    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        names::handle_class(py)
    }

    #[getter(_callback)]
    pub(crate) fn callback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cell.shared(py, |state| state.call.as_ref().map(|call| &call.callback))
    }

    #[getter(_args)]
    fn args<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let args = self
            .cell
            .with(py, |state, share| state.call.as_ref().map(|call| call.args.share(share)));
        args.map(|args| args.tuple(py)).transpose()
    }

    #[getter(_context)]
    fn own_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.context(py)
    }

    #[getter(_loop)]
    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> Bound<'py, EventLoop> {
        self.event_loop.bind(py).clone()
    }

    #[getter(_cancelled)]
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    #[getter(_source_traceback)]
    pub(crate) fn source_traceback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cell.shared(py, |state| state.debug.as_ref()?.source_traceback.as_ref())
    }

    #[getter(_repr)]
    fn get_repr<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cell.shared(py, |state| state.debug.as_ref()?.repr.as_ref())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        self.cell.traverse(&visit, |state, visit| {
            visit.call(&state.context)?;
            state.call.as_ref().map_or(Ok(()), |call| call.traverse(visit))
        })
    }

    fn __clear__(&self) {
        self.cell.clear(std::mem::take);
    }
}

/// Registers both classes.
pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Handle>()?;
    ffi::add_recycling::<Handle>(module.py());
    module.add_class::<TimerHandle>()?;
    ffi::add_recycling::<TimerHandle>(module.py());
    Ok(())
}
