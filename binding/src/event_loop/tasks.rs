//! `create_task`: the common case. Factories, keywords and debug mode are Python's (`_tasks.py`).

use std::ffi::CStr;

use pyo3::intern;
use pyo3::prelude::*;

use super::EventLoop;
use crate::ffi::{self, Arguments, FastMethod};
use crate::names;

pub(super) struct CreateTask;

impl FastMethod for CreateTask {
    type Class = EventLoop;
    const NAME: &'static str = "create_task";
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
            Some(coro) if !this.get().debug() && has_no_factory(this)? => {
                this.get().check_closed()?;
                // Looked up every time: programs put another class there.
                let task = names::tasks_module(py)?.getattr(intern!(py, "Task"))?;
                ffi::call_with_loop(&task, Some(&coro), this)
            }
            _ => arguments.call(&this.getattr(intern!(py, "_create_task"))?),
        }
    }
}

fn has_no_factory(this: &Bound<'_, EventLoop>) -> PyResult<bool> {
    Ok(this.getattr(intern!(this.py(), "_task_factory"))?.is_none())
}
