//! The direct engine: OpenSSL's functions for the connection's `SSL` and BIOs, without a Python
//! call for every record.
//!
//! Where there are many records, they are decrypted in the memory that they were received into, and
//! made in the `bytes` that is sent, so that the BIOs stay small however much there is.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::Backlog;
use super::libssl::{Output, Ssl, Step};
use super::portable::RECORD;
use crate::ffi::bytes_of_at_most;

/// The most that a record has beside its data: header, nonce, the type inside, MAC and padding.
const OVERHEAD: usize = 128;

/// How much goes into one `bytes` of records; for more there are several. Larger ones are no
/// faster, and where a program's settings keep them from the heap (see `heap`) they cost page
/// faults.
const RECORDS: usize = 64 * 1024;

impl Ssl {
    /// Decrypts what was received before, and then the `fresh` records.
    pub(super) fn decrypt<'py>(
        &self,
        py: Python<'py>,
        fresh: &[u8],
        chunks: &mut Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Step> {
        self.reading(py, fresh, |ssl| ssl.decrypt_received(py, chunks))?
    }

    fn decrypt_received<'py>(
        &self,
        py: Python<'py>,
        chunks: &mut Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Step> {
        loop {
            let held = if self.is_within_record(py) { RECORD } else { 0 };
            let most = self.received(py) + held;
            if most == 0 {
                return Ok(Step::Waits);
            }
            let mut step = Step::Waits;
            let chunk = bytes_of_at_most(py, most, |memory| {
                let mut output = Output::new(memory);
                step = self.fill(py, &mut output);
                output.filled()
            })?;
            if !chunk.as_bytes().is_empty() {
                chunks.push(chunk.into_any());
            }
            match step {
                // There was not room enough for everything.
                Step::Moved(_) => {}
                step => return Ok(step),
            }
        }
    }

    /// Decrypts into `output`; answers with `Moved` if that is full.
    pub(super) fn fill(&self, py: Python<'_>, output: &mut Output<'_>) -> Step {
        while !output.is_full() {
            // Asking OpenSSL in vain would cost as much as a small record does.
            let step = if self.has_anything(py) { self.read(py, output) } else { Step::Waits };
            if !matches!(step, Step::Moved(_)) {
                return step;
            }
        }
        Step::Moved(output.filled())
    }

    fn has_anything(&self, py: Python<'_>) -> bool {
        self.received(py) > 0 || self.is_within_record(py)
    }

    /// Encrypts the backlog and leaves the records in the BIO.
    pub(super) fn encrypt(&self, py: Python<'_>, backlog: &mut Backlog) -> Step {
        let mut step = Step::Moved(0);
        while let Step::Moved(_) = step
            && !backlog.is_empty()
        {
            step = self.encrypt_some(py, backlog);
        }
        step
    }

    /// Encrypts the backlog and takes the records out, after those that were in the BIO before.
    pub(super) fn encrypt_and_drain<'py>(
        &self,
        py: Python<'py>,
        backlog: &mut Backlog,
        records: &mut Vec<Bound<'py, PyBytes>>,
    ) -> PyResult<Step> {
        // The first record is made in the BIO: the memory for a single one has its exact length.
        let mut step = self.encrypt_some(py, backlog);
        while let expected @ 1.. = self.unsent(py) + sealed_length(backlog, step) {
            let mut outcome = Ok(());
            let chunk = bytes_of_at_most(py, expected.min(RECORDS), |memory| {
                let mut output = Output::new(memory);
                self.drain(py, &mut output);
                if sealed_length(backlog, step) > 0 {
                    outcome = self.writing(py, &mut output, || {
                        step = self.encrypt_some(py, backlog);
                        sealed_length(backlog, step) > 0
                    });
                }
                output.filled()
            })?;
            outcome?;
            records.push(chunk);
        }
        Ok(step)
    }

    /// Encrypts one record.
    fn encrypt_some(&self, py: Python<'_>, backlog: &mut Backlog) -> Step {
        let Some((chunk, sent)) = backlog.front() else { return Step::Moved(0) };
        let step = self.write(py, chunk.get(sent..).unwrap_or_default());
        if let Step::Moved(count) = step {
            drop(backlog.take_sent(count));
        }
        step
    }
}

/// The most that the backlog can become as records; nothing while OpenSSL takes none of it.
fn sealed_length(backlog: &Backlog, step: Step) -> usize {
    match step {
        Step::Moved(_) => {
            // A chunk begins a new record.
            let records = backlog.len_bytes() / RECORD + backlog.len_buffers();
            backlog.len_bytes() + OVERHEAD * records
        }
        Step::Waits | Step::Stuck => 0,
    }
}
