//! The Python surface of the loop, except its FASTCALL methods (`schedule`, `tasks`).

use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ferroloop_engine::clock;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::inventory::{Inventory, Stats};
use super::waiting::FdWait;
use super::watch::Side;
use super::{EventLoop, LoopState, schedule};
use crate::errors::os_error;
use crate::handle::Handle;
use crate::{future, names, resolve};

#[pymethods]
impl EventLoop {
    /// Arguments are for subclasses; the loop itself takes none.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Self::open().map_err(|error| os_error(py, &error))
    }

    /// Debug mode reports callbacks that take at least this many seconds.
    // S0.23.
    #[classattr]
    fn slow_callback_duration() -> f64 {
        0.1
    }

    /// Seconds of the monotonic clock: the same as `time.monotonic()`.
    fn time(&self) -> f64 {
        clock::now()
    }

    /// Ends the run after the current iteration. Called in another thread, it does not wake the
    /// loop.
    // S2.11.
    fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// True between the start and the end of a run.
    fn is_running(&self) -> bool {
        self.running()
    }

    /// True after `close()`.
    fn is_closed(&self) -> bool {
        self.closed()
    }

    /// True in debug mode.
    fn get_debug(&self) -> bool {
        self.debug()
    }

    /// An `asyncio.Future` of this loop.
    fn create_future<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        future::create(slf)
    }

    /// Calls `callback(*args)` whenever `fd` is readable (asyncio: loop.add_reader).
    ///
    /// fd: a number or an object with `fileno()`. Raises ValueError for anything else,
    /// OverflowError for too large a number, OSError for what cannot be polled, RuntimeError if a
    /// transport of this loop uses it or the loop is closed.
    #[pyo3(signature = (fd, callback, *args))]
    fn add_reader<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        Self::ensure_no_transport(slf, fd)?;
        Self::add_callback(slf, fd, Side::Reader, callback, args).map(drop)
    }

    /// Calls `callback(*args)` whenever `fd` is writable (asyncio: loop.add_writer). Arguments and
    /// errors are those of `add_reader`.
    #[pyo3(signature = (fd, callback, *args))]
    fn add_writer<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        Self::ensure_no_transport(slf, fd)?;
        Self::add_callback(slf, fd, Side::Writer, callback, args).map(drop)
    }

    /// Stops watching `fd` for reading; True if it was watched. Raises ValueError for what is no
    /// descriptor, RuntimeError if a transport of this loop uses it.
    fn remove_reader(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::remove_unowned(slf, fd, Side::Reader)
    }

    /// Stops watching `fd` for writing; True if it was watched. Errors are those of
    /// `remove_reader`.
    fn remove_writer(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::remove_unowned(slf, fd, Side::Writer)
    }

    /// Await it at once. Done when `fd` is readable or broken. A later wait or callback for the
    /// same side replaces it, and then it never finishes.
    fn _readable(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<FdWait> {
        Self::wait_for(slf, fd, Side::Reader)
    }

    /// Await it at once. Done when `fd` is writable or broken. A later wait or callback for the
    /// same side replaces it, and then it never finishes.
    fn _writable(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<FdWait> {
        Self::wait_for(slf, fd, Side::Writer)
    }

    /// Looks a name up in a native thread and settles `future` in the loop's thread. The number to
    /// forget the lookup by; None if only `socket.getaddrinfo` knows what these arguments mean.
    #[pyo3(signature = (future, host, port, *numbers))]
    fn _look_up<'py>(
        &self,
        future: Bound<'py, PyAny>,
        host: &Bound<'py, PyAny>,
        port: &Bound<'py, PyAny>,
        numbers: &Bound<'py, PyTuple>,
    ) -> PyResult<Option<u64>> {
        let Ok(numbers) = numbers.extract() else {
            return Ok(None);
        };
        let query = resolve::query(host, port, numbers)?;
        query.map(|query| self.look_up(future, query)).transpose()
    }

    /// Forgets a lookup for which nobody waits any more.
    fn _forget_lookup(&self, py: Python<'_>, number: u64) {
        self.forget_lookup(py, number);
    }

    // asyncio's private spellings, which its own pipe transports and watchers call on a loop.

    #[pyo3(signature = (fd, callback, *args))]
    fn _add_reader<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Handle>> {
        Self::add_callback(slf, fd, Side::Reader, callback, args)
    }

    #[pyo3(signature = (fd, callback, *args))]
    fn _add_writer<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Handle>> {
        Self::add_callback(slf, fd, Side::Writer, callback, args)
    }

    fn _remove_reader(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::remove_callback(slf, fd, Side::Reader)
    }

    fn _remove_writer(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::remove_callback(slf, fd, Side::Writer)
    }

    fn _ensure_fd_no_transport(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::ensure_no_transport(slf, fd)
    }

    fn _set_debug(&self, py: Python<'_>, enabled: bool) -> PyResult<()> {
        if enabled {
            // A handle is described when it is cancelled, and when the interpreter ends nothing can
            // be imported any more.
            names::handle_repr(py)?;
        }
        self.debug.store(enabled, Ordering::Relaxed);
        Ok(())
    }

    fn _check_closed(&self) -> PyResult<()> {
        self.check_closed()
    }

    fn _check_callback(&self, callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
        schedule::check_callback(callback, method)
    }

    fn _begin_run(&self, py: Python<'_>, thread_id: u64) {
        self.thread_id.store(thread_id, Ordering::Relaxed);
        self.begin_punctual(py);
    }

    fn _iterate(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::iterate(slf)
    }

    /// For `ferroloop._nested`: whole iterations inside a job, until the list has something in it
    /// or the loop is told to stop.
    fn _iterate_nested(slf: &Bound<'_, Self>, ended: &Bound<'_, PyList>) -> PyResult<()> {
        Self::iterate_nested(slf, ended)
    }

    /// One iteration that waits for at most `limit` seconds, for loops that a GUI toolkit drives;
    /// `ferroloop._embedded` has checked the seconds.
    // S2.27.
    #[pyo3(signature = (limit=None))]
    fn _run_once(slf: &Bound<'_, Self>, limit: Option<f64>) -> PyResult<()> {
        // What no Duration can hold is as long as it takes.
        let limit = limit.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
        Self::iterate_once(slf, limit)
    }

    /// Whether the run is to end after this iteration.
    #[getter(_stopping)]
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn _backend_fd(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.backend_fd(py)
    }

    fn _backend_timeout(slf: &Bound<'_, Self>) -> PyResult<Option<f64>> {
        Ok(Self::backend_timeout(slf)?.map(|timeout| timeout.as_secs_f64()))
    }

    /// Has the loop's thread stop for ever where it is detached; see `ferroloop._finalize`.
    fn _park(&self, py: Python<'_>) {
        self.parking.request();
        self.wake(py);
    }

    #[getter(_parked)]
    fn is_parked(&self) -> bool {
        self.parking.is_parked()
    }

    /// In one step: no KeyboardInterrupt may come between a loop that does not run and a thread
    /// that still has it running.
    fn _end_run(&self, py: Python<'_>) -> PyResult<()> {
        self.stopping.store(false, Ordering::Relaxed);
        self.thread_id.store(0, Ordering::Relaxed);
        names::set_running_loop(py)?.call1((py.None(),)).map(drop)
    }

    fn _stats(&self, py: Python<'_>) -> Stats {
        self.count(py)
    }

    fn _inventory(&self, py: Python<'_>) -> Inventory {
        self.take_inventory(py)
    }

    /// See `EventLoop::hand_over`.
    fn _hand_over<'py>(slf: &Bound<'py, Self>, callback: Bound<'py, PyAny>) -> PyResult<bool> {
        Self::hand_over(slf, || Ok(callback))
    }

    /// Whether the loop waits in its poll and nobody has woken it yet; from any thread.
    fn _is_asleep(&self, py: Python<'_>) -> bool {
        self.cell.with(py, |state, _| {
            state.reactor.as_ref().is_some_and(|reactor| reactor.waker.is_armed())
        })
    }

    /// For how long the loop polls before it sleeps; `ferroloop._spin` has checked it.
    fn _set_spin(&self, py: Python<'_>, seconds: f64) {
        let limit = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.cell.with(py, |state, _| state.spin.set_limit(limit));
    }

    /// The loop's `time()` is `_virtual_time` from now on; `ferroloop.testing` has checked the
    /// seconds.
    fn _start_virtual_clock(&self, py: Python<'_>, threshold: f64) {
        let threshold = Duration::try_from_secs_f64(threshold).unwrap_or(clock::LONGEST_POLL);
        self.start_virtual_clock(py, threshold);
    }

    fn _virtual_time(&self, py: Python<'_>) -> f64 {
        self.virtual_time(py)
    }

    fn _signal_fd(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.signal_fd(py)
    }

    fn _make_handle<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Handle>> {
        Self::lasting_handle(slf, callback, args)
    }

    fn _release(&self, py: Python<'_>) {
        self.release(py);
    }

    #[getter(_task_factory)]
    fn get_task_factory<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.task_factory.shared(py, Option::as_ref)
    }

    #[setter(_task_factory)]
    fn set_task_factory(&self, py: Python<'_>, factory: Option<Py<PyAny>>) {
        drop(self.task_factory.with(py, move |slot, _| std::mem::replace(slot, factory)));
    }

    #[getter(_thread_id)]
    fn get_thread_id(&self) -> Option<u64> {
        let thread_id = self.thread_id.load(Ordering::Relaxed);
        (thread_id != 0).then_some(thread_id)
    }

    #[getter(_current_handle)]
    fn get_current_handle<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Handle>> {
        self.current_handle.shared(py, Option::as_ref)
    }

    #[getter(_custom_clock)]
    fn get_custom_clock(&self) -> bool {
        self.has_custom_clock()
    }

    #[setter(_custom_clock)]
    fn set_custom_clock(&self, custom: bool) {
        self.custom_clock.store(custom, Ordering::Relaxed);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.cell.traverse(&visit, LoopState::traverse)?;
        self.current_handle.traverse(&visit, |handle, visit| visit.call(handle))?;
        self.task_factory.traverse(&visit, |factory, visit| visit.call(factory))?;
        self.keyword.traverse(&visit, |keyword, visit| visit.call(keyword))?;
        self.corks.traverse(&visit)
    }

    /// A resolver that nobody has closed ends here, with the GIL held: its threads need none.
    fn __clear__(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.cell.clear(std::mem::take);
        self.current_handle.clear(Option::take);
        self.task_factory.clear(Option::take);
        self.keyword.clear(Option::take);
        self.corks.clear();
    }
}
