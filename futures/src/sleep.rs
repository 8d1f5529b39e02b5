//! Time.

use std::sync::Arc;
use std::time::Duration;

use event_listener::Event;
use pyo3::intern;
use pyo3::prelude::*;

use crate::cancel::CancelOnDrop;
use crate::event_loop;
use crate::notifier::Notifier;

/// Waits for `duration` on the running loop's clock, by its `call_later`. Dropped, it cancels its
/// timer.
///
/// # Errors
///
/// `RuntimeError`: no loop is running in this thread.
pub async fn sleep(duration: Duration) -> PyResult<()> {
    let event = Arc::new(Event::new());
    let elapsed = event.listen();
    let _timer = Python::attach(|py| start(py, duration, event))?;
    elapsed.await;
    Ok(())
}

fn start(py: Python<'_>, duration: Duration, event: Arc<Event>) -> PyResult<CancelOnDrop> {
    let arguments = (duration.as_secs_f64(), Notifier(event));
    let timer = event_loop::running(py)?.call_method1(intern!(py, "call_later"), arguments)?;
    Ok(CancelOnDrop(timer.unbind()))
}
