//! `create_task`: the common case. Factories, keywords and debug mode are Python's (`_tasks.py`).

use std::ffi::CStr;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::EventLoop;
use crate::ffi::{self, Arguments, FastMethod};
use crate::names;

pub(super) struct CreateTask;

impl FastMethod for CreateTask {
    type Class = EventLoop;
    const C_NAME: &'static CStr = c"create_task";
    const DOC: &'static CStr = c"create_task($self, coro, **kwargs)\n--\n\n\
        Schedule coro as a task, or begin executing it if the factory or eager_start says so\n\
        (asyncio: loop.create_task).\n\n\
        Keywords, as this Python's asyncio has them: name, context, eager_start.\n\
        Raises RuntimeError if the loop is closed, TypeError for what is no coroutine.";

    #[inline]
    fn call<'py>(
        this: &Bound<'py, EventLoop>,
        arguments: Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        let only = arguments.get(0).filter(|_| arguments.len() == 1 && arguments.is_positional());
        match only {
            Some(coro) if !this.get().debug() && !this.get().has_task_factory(py) => {
                this.get().check_closed()?;
                ffi::call_with_keywords(&task_class(py)?, &coro, &EventLoop::as_keyword(this)?)
            }
            _ => arguments.call(&this.getattr(intern!(py, "_create_task"))?),
        }
    }
}

/// `asyncio.tasks.Task`, looked up every time, as programs put another class there; in the module's
/// dict, which takes a third of the time of an attribute.
#[inline]
fn task_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let (module, name) = (names::tasks_module(py)?, intern!(py, "Task"));
    match module.cast::<PyModule>()?.dict().get_item(name)? {
        Some(class) => Ok(class),
        None => module.getattr(name),
    }
}

impl EventLoop {
    fn has_task_factory(&self, py: Python<'_>) -> bool {
        self.task_factory.with(py, |factory, _| factory.is_some())
    }

    /// `{"loop": self}`, by which asyncio's futures and tasks are told whose they are. It is kept
    /// while the loop is open: a dict for each of them is a tenth of what they cost.
    pub(crate) fn as_keyword<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let py = this.py();
        if let Some(keyword) = this.get().keyword.shared(py, Option::as_ref) {
            return Ok(keyword);
        }
        let keyword = PyDict::new(py);
        keyword.set_item(intern!(py, "loop"), this)?;
        if !this.get().closed() {
            let kept = keyword.clone().unbind();
            drop(this.get().keyword.with(py, move |slot, _| slot.replace(kept)));
        }
        Ok(keyword)
    }
}
