//! Name lookups under way: who waits for which.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferroloop_engine::{Answer, Query, Ready, Resolver, Waker};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::EventLoop;
use crate::errors::Refusal;
use crate::job::Job;
use crate::{future, resolve};

/// The loop's resolver, made when it is first needed, and who waits for its answers, by number.
#[derive(Default)]
pub(super) struct Lookups {
    resolver: Option<Resolver>,
    waiting: BTreeMap<u64, Py<PyAny>>,
}

impl Lookups {
    fn ask(
        &mut self,
        waker: &Arc<Waker>,
        query: Query,
        future: Py<PyAny>,
    ) -> Result<u64, (Refusal, Py<PyAny>)> {
        match self.resolver.get_or_insert_with(|| Resolver::new(waker)).ask(query) {
            Ok(number) => {
                self.waiting.insert(number, future);
                Ok(number)
            }
            Err(_) => Err((Refusal::NoThread, future)),
        }
    }

    /// What has to be ended without the GIL: that waits for threads.
    pub(super) fn take_resolver(&mut self) -> Option<Resolver> {
        self.resolver.take()
    }

    fn forget(&mut self, number: u64) -> Option<Py<PyAny>> {
        if let Some(resolver) = &mut self.resolver {
            resolver.forget(number);
        }
        self.waiting.remove(&number)
    }

    /// How many calls wait for a name.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether an answer has come. Without anybody who waits for one it costs nothing to ask.
    #[inline]
    pub(super) fn are_answered(&mut self) -> bool {
        !self.waiting.is_empty() && self.resolver.as_mut().is_some_and(Resolver::has_answers)
    }

    /// Turns the answers that have come into jobs.
    #[inline]
    pub(super) fn gather(&mut self, ready: &mut Ready<Job>) {
        if !self.waiting.is_empty() {
            self.take_answers(ready);
        }
    }

    fn take_answers(&mut self, ready: &mut Ready<Job>) {
        for (numbers, answer) in self.resolver.iter_mut().flat_map(Resolver::take_answers) {
            let answer = Arc::new(answer);
            for future in numbers.iter().filter_map(|number| self.waiting.remove(number)) {
                ready.push(Job::Answer(future, Arc::clone(&answer)));
            }
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.waiting.values().try_for_each(|future| visit.call(future))
    }
}

impl EventLoop {
    /// Has a name looked up and the future settled; the question's number.
    pub(super) fn look_up(&self, future: Bound<'_, PyAny>, query: Query) -> PyResult<u64> {
        let py = future.py();
        let future = future.unbind();
        let asked = self.cell.with(py, move |state, _| match &state.reactor {
            Some(reactor) => state.lookups.ask(&reactor.waker, query, future),
            None => Err((Refusal::Closed, future)),
        });
        asked.map_err(|(refusal, future)| {
            drop(future);
            refusal.into_error(py)
        })
    }

    /// Nobody waits for the answer any more.
    pub(super) fn forget_lookup(&self, py: Python<'_>, number: u64) {
        drop(self.cell.with(py, |state, _| state.lookups.forget(number)));
    }

    /// An answer has come.
    pub(crate) fn on_answer(
        this: &Bound<'_, Self>,
        future: &Py<PyAny>,
        answer: &Answer,
    ) -> PyResult<()> {
        let outcome = resolve::answer_to_python(this.py(), answer);
        future::settle(future.bind(this.py()), this, outcome)
    }
}
