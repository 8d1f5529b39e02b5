//! `call_soon` and its family: what puts a callback into the ready queue or among the timers.

use std::ffi::CStr;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyType};
use pyo3::{Borrowed, intern};

use super::EventLoop;
use crate::ffi::{self, Arguments, FastMethod};
use crate::handle::{Args, Call, Handle, Scheduled, TimerHandle};
use crate::job::Job;
use crate::names;

pub(super) fn add_methods(class: &Bound<'_, PyType>) -> PyResult<()> {
    ffi::add_method::<CallSoon>(class)?;
    ffi::add_method::<CallSoonThreadsafe>(class)?;
    ffi::add_method::<CallLater>(class)?;
    ffi::add_method::<CallAt>(class)
}

struct CallSoon;

impl FastMethod for CallSoon {
    type Class = EventLoop;
    const C_NAME: &'static CStr = c"call_soon";
    const DOC: &'static CStr = c"call_soon($self, callback, *args, context=None)\n--\n\n\
        Run callback(*args) in the next iteration, first in, first out (asyncio: loop.call_soon).\n\n\
        context: the contextvars.Context to run in; default a copy of the current one.\n\
        Raises RuntimeError on a closed loop; in debug mode also for a call from another thread\n\
        than the loop's, and TypeError for a coroutine or anything else that is not callable.";

    #[inline]
    fn call<'py>(
        this: &Bound<'py, EventLoop>,
        arguments: Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = Request::parse(&arguments, Self::NAME, ["callback"])?;
        let event_loop = this.get();
        event_loop.check_closed()?;
        if event_loop.debug() {
            event_loop.check_thread(this.py())?;
            check_callback(&request.callback, Self::NAME)?;
        }
        request.queue(this, false)
    }
}

struct CallSoonThreadsafe;

impl FastMethod for CallSoonThreadsafe {
    type Class = EventLoop;
    const C_NAME: &'static CStr = c"call_soon_threadsafe";
    const DOC: &'static CStr =
        c"call_soon_threadsafe($self, callback, *args, context=None)\n--\n\n\
        call_soon for other threads and signal handlers: also wakes the loop.\n\n\
        Raises RuntimeError on a closed loop.";

    #[inline]
    fn call<'py>(
        this: &Bound<'py, EventLoop>,
        arguments: Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = Request::parse(&arguments, Self::NAME, ["callback"])?;
        let event_loop = this.get();
        event_loop.check_closed()?;
        if event_loop.debug() {
            check_callback(&request.callback, Self::NAME)?;
        }
        let handle = request.queue(this, true)?;
        event_loop.wake(this.py());
        Ok(handle)
    }
}

struct CallLater;

impl FastMethod for CallLater {
    type Class = EventLoop;
    const C_NAME: &'static CStr = c"call_later";
    const DOC: &'static CStr = c"call_later($self, delay, callback, *args, context=None)\n--\n\n\
        Run callback(*args) after delay seconds (asyncio: loop.call_later).\n\n\
        Callbacks with the same deadline run in the order of the calls.\n\
        Raises TypeError if delay is None; otherwise as call_at.";

    #[inline]
    fn call<'py>(
        this: &Bound<'py, EventLoop>,
        arguments: Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = Request::parse(&arguments, Self::NAME, ["delay", "callback"])?;
        if request.first.is_none() {
            return Err(PyTypeError::new_err("delay must not be None"));
        }
        let now = EventLoop::now(this)?;
        let delay = request.first;
        let is_plain = delay.is_instance_of::<PyFloat>() || delay.is_instance_of::<PyInt>();
        let when = match delay.extract::<f64>() {
            Ok(delay) if is_plain => now + delay,
            // Python's own addition knows more kinds of numbers than we do, and refuses what is
            // none.
            _ => PyFloat::new(this.py(), now).as_any().add(delay)?.extract()?,
        };
        request.schedule(this, when, None)
    }
}

struct CallAt;

impl FastMethod for CallAt {
    type Class = EventLoop;
    const C_NAME: &'static CStr = c"call_at";
    const DOC: &'static CStr = c"call_at($self, when, callback, *args, context=None)\n--\n\n\
        Run callback(*args) at when, in seconds of the loop's time() (asyncio: loop.call_at).\n\n\
        Raises TypeError if when is no number; RuntimeError and debug errors as call_soon.";

    #[inline]
    fn call<'py>(
        this: &Bound<'py, EventLoop>,
        arguments: Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = Request::parse(&arguments, Self::NAME, ["when", "callback"])?;
        if request.first.is_none() {
            return Err(PyTypeError::new_err("when cannot be None"));
        }
        let when = request.first.extract()?;
        let whole = request.first.cast_exact::<PyInt>().ok().map(|when| when.to_owned().unbind());
        request.schedule(this, when, whole)
    }
}

/// The arguments of one scheduling call.
struct Request<'a, 'py> {
    /// The first parameter: the callback itself, or a time.
    first: Borrowed<'a, 'py, PyAny>,
    callback: Borrowed<'a, 'py, PyAny>,
    /// Where `*args` begin.
    rest: usize,
    arguments: &'a Arguments<'a, 'py>,
    context: Option<Bound<'py, PyAny>>,
}

// Everything from here to the finished handle is inlined by force: the parts of a request then stay
// in registers. Passed by value through memory they cost more than all instructions of the call,
// because a pair of words written one by one cannot be forwarded to the load that moves both.
#[expect(clippy::inline_always, reason = "measured: bench/RESULTS.md, call_soon")]
impl<'a, 'py> Request<'a, 'py> {
    /// Reads `parameters` (the last is the callback), then `*args` and `context=`.
    #[inline(always)]
    fn parse<const N: usize>(
        arguments: &'a Arguments<'a, 'py>,
        method: &str,
        parameters: [&str; N],
    ) -> PyResult<Self> {
        if let (Some(first), Some(callback), Ok(context)) = (
            arguments.get(0),
            arguments.get(N - 1),
            arguments.only_keyword(intern!(arguments.py(), "context")),
        ) {
            let context = context.filter(|context| !context.is_none());
            let context = context.map(Borrowed::to_owned);
            return Ok(Self { first, callback, rest: N, arguments, context });
        }
        Self::parse_named(arguments, method, parameters)
    }

    /// Reads a call that gives parameters by name, or has none to read.
    #[cold]
    fn parse_named<const N: usize>(
        arguments: &'a Arguments<'a, 'py>,
        method: &str,
        parameters: [&str; N],
    ) -> PyResult<Self> {
        let mut values: [Option<Borrowed<'a, 'py, PyAny>>; N] =
            std::array::from_fn(|index| arguments.get(index));
        let mut context = None;
        for (name, value) in arguments.keywords() {
            let name = name.to_str()?;
            if name == "context" {
                context = (!value.is_none()).then(|| value.to_owned());
                continue;
            }
            let parameter = parameters.iter().position(|&parameter| parameter == name);
            match parameter.and_then(|index| values.get_mut(index)) {
                Some(slot @ None) => *slot = Some(value),
                Some(Some(_)) => {
                    return Err(argument_error(method, "got multiple values for argument", name));
                }
                None => {
                    return Err(argument_error(method, "got an unexpected keyword argument", name));
                }
            }
        }
        if let Some(index) = values.iter().position(Option::is_none) {
            let name = parameters.get(index).unwrap_or(&"callback");
            return Err(argument_error(method, "missing a required argument:", name));
        }
        let (Some(&Some(first)), Some(&Some(callback))) = (values.first(), values.last()) else {
            return Err(argument_error(method, "missing a required argument:", "callback"));
        };
        Ok(Self { first, callback, rest: N, arguments, context })
    }

    #[inline(always)]
    fn into_handle(self, this: &Bound<'py, EventLoop>, threadsafe: bool) -> PyResult<Handle> {
        let context = match self.context {
            Some(context) => context,
            None => ffi::copy_context(this.py())?,
        };
        // Last, when nothing can fail any more: what an error path has to drop is kept in memory
        // and not in registers.
        let args = Args::from_rest(self.arguments, self.rest)?;
        let call = Call { callback: self.callback.to_owned().unbind(), args };
        Handle::new(this, call, context, threadsafe)
    }

    #[inline(always)]
    fn queue(self, this: &Bound<'py, EventLoop>, threadsafe: bool) -> PyResult<Bound<'py, PyAny>> {
        let handle = ffi::make::<Handle>(this.py(), self.into_handle(this, threadsafe)?)?;
        if !this.get().iterating() {
            ffi::reveal(&handle);
            // A host may wait in the loop's place; see `lend`.
            this.get().wake(this.py());
        }
        this.get().push(this.py(), Job::Call(handle.clone().unbind()));
        Ok(handle.into_any())
    }

    #[inline(always)]
    fn schedule(
        self,
        this: &Bound<'py, EventLoop>,
        when: f64,
        whole: Option<Py<PyInt>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        let event_loop = this.get();
        event_loop.check_closed()?;
        if event_loop.debug() {
            event_loop.check_thread(py)?;
            check_callback(&self.callback, "call_at")?;
        }
        let handle = self.into_handle(this, false)?;
        let timer = TimerHandle::create(py, handle, when, whole)?;
        let entry = Scheduled(timer.clone().into_super().unbind());
        event_loop.cell.with(py, move |state, _| state.timers.insert(when, entry));
        if !event_loop.iterating() {
            event_loop.wake(py);
        }
        Ok(timer.into_any())
    }
}

#[cold]
fn argument_error(method: &str, what: &str, name: &str) -> PyErr {
    PyTypeError::new_err(format!("EventLoop.{method}() {what} '{name}'"))
}

impl EventLoop {
    /// Ends the poll the loop may be sleeping in; costs nothing while it is awake.
    #[inline]
    pub(crate) fn wake(&self, py: Python<'_>) {
        self.cell.with(py, |state, _| {
            if let Some(reactor) = &state.reactor {
                reactor.wake();
            }
        });
    }

    /// Debug mode: only the loop's own thread may schedule (S8.3).
    #[cold]
    pub(crate) fn check_thread(&self, py: Python<'_>) -> PyResult<()> {
        if !self.running() || self.runs_in_this_thread(py)? {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(
            "Non-thread-safe operation invoked on an event loop other than the current one",
        ))
    }

    /// Has the loop's thread make a call in our place, if another thread runs the loop; true if it
    /// will. For what finalizers call: they run in any thread. In debug mode what they call refuses.
    pub(crate) fn hand_over<'py>(
        this: &Bound<'py, Self>,
        callback: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        let event_loop = this.get();
        if event_loop.debug()
            || !event_loop.running()
            || event_loop.runs_in_this_thread(this.py())?
        {
            return Ok(false);
        }
        ffi::call_method(this, intern!(this.py(), "call_soon_threadsafe"), [&callback()?])?;
        Ok(true)
    }
}

/// Debug mode: no coroutines, nothing that cannot be called (S8.4).
#[cold]
pub(super) fn check_callback(callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
    if is_coroutine(callback)? {
        return Err(PyTypeError::new_err(format!("coroutines cannot be used with {method}()")));
    }
    if !callback.is_callable() {
        let callback = callback.repr()?;
        return Err(PyTypeError::new_err(format!(
            "a callable object was expected by {method}(), got {callback}"
        )));
    }
    Ok(())
}

/// A coroutine, or a function that makes one, by inspect's rule or asyncio's older mark (S56.2).
fn is_coroutine(callback: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = callback.py();
    if names::iscoroutine(py)?.call1((callback,))?.is_truthy()?
        || names::is_coroutine_function(py)?.call1((callback,))?.is_truthy()?
    {
        return Ok(true);
    }
    let mark = callback.getattr_opt(intern!(py, "_is_coroutine"))?;
    Ok(match mark {
        Some(mark) => mark.is(names::coroutine_marker(py)?),
        None => false,
    })
}
