//! An extension module whose functions return coroutines. The tests import it.

#![expect(clippy::disallowed_methods, reason = "a coroutine has no Python token of its own")]

use std::future::{pending, poll_fn};
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::mem;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use ferroloop_futures::{AsyncFd, Coroutine, ensure_future, sleep};
use futures::channel::oneshot;
use futures::future::{Either, join_all, select};
use futures::pin_mut;
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;

/// There is nothing to wait for.
#[pyfunction]
fn answer() -> Coroutine {
    Coroutine::new("answer", async move || Ok(42))
}

#[pyfunction]
fn nap(seconds: f64) -> Coroutine {
    Coroutine::new("nap", async move || {
        sleep(duration(seconds)?).await?;
        Ok("rested")
    })
}

/// It will not end by itself, and is woken by nobody.
#[pyfunction]
fn forever() -> Coroutine {
    Coroutine::new("forever", async move || {
        pending::<()>().await;
        Ok(())
    })
}

/// Lets all others have so many turns.
#[pyfunction]
fn turns(count: usize) -> Coroutine {
    Coroutine::new("turns", async move || {
        for _ in 0..count {
            yield_now().await;
        }
        Ok(count)
    })
}

/// Wakes itself before it waits.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Many futures at once, in one task.
#[pyfunction]
fn naps(count: usize, seconds: f64) -> Coroutine {
    Coroutine::new("naps", async move || {
        let duration = duration(seconds)?;
        let naps = join_all((0..count).map(|_| sleep(duration))).await;
        naps.into_iter().collect::<PyResult<Vec<()>>>().map(|naps| naps.len())
    })
}

/// A computation in a thread that knows nothing of Python.
#[pyfunction]
fn sum_of_squares(limit: u128) -> Coroutine {
    Coroutine::new("sum_of_squares", async move || {
        let (sender, receiver) = oneshot::channel();
        let compute = move || sender.send((0..limit).map(|it| black_box(it) * it).sum::<u128>());
        thread::Builder::new().spawn(compute)?;
        receiver.await.map_err(|_| PyRuntimeError::new_err("the thread has died"))
    })
}

/// A request over a Unix socket, and all of what comes back.
#[pyfunction]
fn ask(path: PathBuf, request: Vec<u8>) -> Coroutine {
    Coroutine::new("ask", async move || {
        let socket = UnixStream::connect(path)?;
        socket.set_nonblocking(true)?;
        let socket = AsyncFd::new(socket);
        let mut left = request.as_slice();
        while !left.is_empty() {
            let sent = socket.write_with(|mut socket| socket.write(left)).await?;
            left = left.get(sent..).unwrap_or_default();
        }
        socket.get_ref().shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        socket.read_with(|mut socket| socket.read_to_end(&mut answer)).await?;
        Ok(answer)
    })
}

/// What Python can await, for so many seconds; then it is cancelled.
#[pyfunction]
fn within(seconds: f64, awaitable: Py<PyAny>) -> Coroutine {
    Coroutine::new("within", async move || {
        let future = Python::attach(|py| ensure_future(awaitable.bind(py)))?;
        let timeout = sleep(duration(seconds)?);
        pin_mut!(future, timeout);
        match select(future, timeout).await {
            Either::Left((result, _)) => result,
            Either::Right((slept, _)) => {
                slept?;
                Err(PyTimeoutError::new_err("it took too long"))
            }
        }
    })
}

fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))
}

#[pymodule]
mod rust_coroutines {
    #[pymodule_export]
    use super::{answer, ask, forever, nap, naps, sum_of_squares, turns, within};
}
