//! Descriptors.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd as _, RawFd};
use std::sync::{Arc, Mutex};

use event_listener::Event;
use pyo3::prelude::*;

use crate::event_loop::{self, WeakLoop};
use crate::lock::lock;

/// A descriptor that the running loop watches while somebody waits for it, by its `add_reader` and
/// `add_writer`.
///
/// It has to be non-blocking, must be one that epoll(7) or kqueue(2) takes, so no regular file, and
/// nothing else may watch it on the same loop. It stays in the thread of its loop.
#[derive(Debug)]
pub struct AsyncFd<T> {
    // These are dropped first: a loop watches no descriptor that is closed.
    reading: Watch,
    writing: Watch,
    inner: T,
    /// Loops are left in their own thread only.
    thread: PhantomData<*const ()>,
}

impl<T: AsFd> AsyncFd<T> {
    /// Nothing is watched before somebody waits.
    pub fn new(inner: T) -> Self {
        let fd = inner.as_fd().as_raw_fd();
        let watch = |direction| Watch(Arc::new(Watched::new(fd, direction)));
        let (reading, writing) = (watch(Direction::Reading), watch(Direction::Writing));
        Self { reading, writing, inner, thread: PhantomData }
    }

    /// What it was made of.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Waits until it can be read from: there is data, the end of it, or an error.
    ///
    /// # Errors
    ///
    /// Those of `add_reader`: `RuntimeError` if a transport has it, or if no loop is running;
    /// `OSError` if it cannot be watched.
    pub async fn readable(&self) -> PyResult<()> {
        self.reading.wait().await
    }

    /// Waits until it can be written to.
    ///
    /// # Errors
    ///
    /// Those of [`readable`](Self::readable).
    pub async fn writable(&self) -> PyResult<()> {
        self.writing.wait().await
    }

    /// Calls `operation` at once, and whenever it can be read from, until it does not say
    /// `WouldBlock`.
    ///
    /// # Errors
    ///
    /// Those of the operation and of [`readable`](Self::readable).
    pub async fn read_with<R>(&self, operation: impl FnMut(&T) -> io::Result<R>) -> PyResult<R> {
        self.try_until_done(&self.reading, operation).await
    }

    /// The same for writing.
    ///
    /// # Errors
    ///
    /// Those of the operation and of [`writable`](Self::writable).
    pub async fn write_with<R>(&self, operation: impl FnMut(&T) -> io::Result<R>) -> PyResult<R> {
        self.try_until_done(&self.writing, operation).await
    }

    async fn try_until_done<R>(
        &self,
        watch: &Watch,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> PyResult<R> {
        loop {
            match operation(&self.inner) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => watch.wait().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Ok(done?),
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Reading,
    Writing,
}

impl Direction {
    fn add(self) -> &'static str {
        match self {
            Self::Reading => "add_reader",
            Self::Writing => "add_writer",
        }
    }

    fn remove(self) -> &'static str {
        match self {
            Self::Reading => "remove_reader",
            Self::Writing => "remove_writer",
        }
    }
}

/// What is watched of a descriptor; dropped, it is no more.
#[derive(Debug)]
struct Watch(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    fd: RawFd,
    direction: Direction,
    /// Whoever waits, and there may be several, listens to this.
    ready: Event,
    by: Mutex<Option<WeakLoop>>,
}

impl Watch {
    async fn wait(&self) -> PyResult<()> {
        let ready = self.0.ready.listen();
        Python::attach(|py| Watched::start(&self.0, py))?;
        ready.await;
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        Python::try_attach(|py| self.0.stop(py));
    }
}

impl Watched {
    fn new(fd: RawFd, direction: Direction) -> Self {
        Self { fd, direction, ready: Event::new(), by: Mutex::new(None) }
    }

    fn start(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        if lock(&self.by).is_some() {
            return Ok(());
        }
        let event_loop = event_loop::running(py)?;
        event_loop.call_method1(self.direction.add(), (self.fd, Ready(Arc::clone(self))))?;
        *lock(&self.by) = Some(WeakLoop::new(&event_loop)?);
        Ok(())
    }

    fn stop(&self, py: Python<'_>) {
        let by = lock(&self.by).take();
        let Some(event_loop) = by.and_then(|by| by.get(py)) else { return };
        if let Err(error) = event_loop.call_method1(self.direction.remove(), (self.fd,)) {
            error.write_unraisable(py, Some(&event_loop));
        }
    }
}

/// What the loop calls: once, as it would call again at once for what is not read yet.
#[pyclass(frozen)]
struct Ready(Arc<Watched>);

#[pymethods]
impl Ready {
    fn __call__(&self, py: Python<'_>) {
        self.0.stop(py);
        self.0.ready.notify(usize::MAX);
    }
}
