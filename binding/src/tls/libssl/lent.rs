//! Memory of ours that OpenSSL reads from, or writes into, for a while, in place of the
//! connection's BIOs: one copy less of every byte.

use std::ffi::{c_int, c_long, c_void};
use std::{ptr, slice};

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::functions::{FUNCTIONS, Functions};
use super::{Output, Pointer, Ssl};

/// From how many bytes on it is cheaper to lend records than to copy them.
const LENDS: usize = 8 * 1024;

// <openssl/bio.h>
const BIO_C_SET_BUF_MEM_EOF_RETURN: c_int = 130;
const BIO_CTRL_FLUSH: c_int = 11;
const BIO_TYPE_SOURCE_SINK: c_int = 0x0400;

type SetBio = unsafe extern "C" fn(Pointer, Pointer);

/// A BIO of ours in the place of one of the connection's, until it is dropped.
struct Lent<'a> {
    ssl: &'a Ssl,
    set: SetBio,
    own: Pointer,
    bio: Pointer,
}

impl<'a> Lent<'a> {
    /// Has `set` put a new `bio` into the place of the connection's `own`.
    fn new(ssl: &'a Ssl, set: SetBio, own: Pointer, bio: Pointer) -> PyResult<Self> {
        if bio.is_null() {
            return Err(PyMemoryError::new_err(()));
        }
        // SAFETY: a living BIO: the SSL has a share of it, and now we have one.
        unsafe { (ssl.functions.bio_share)(own) };
        // SAFETY: a living SSL takes over the new BIO, and gives up its share of its own.
        unsafe { set(ssl.handle, bio) };
        Ok(Self { ssl, set, own, bio })
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // SAFETY: a living SSL takes over our share of its own BIO, and gives up the lent one,
        // which nobody else has.
        unsafe { (self.set)(self.ssl.handle, self.own) };
    }
}

/// Where the records of a lent BIO go.
struct Sink<'a, 'b> {
    output: &'a mut Output<'b>,
    ssl: &'a Ssl,
}

impl Ssl {
    /// Runs `work` while the SSL reads `records`. It must not call Python: nobody else may read
    /// meanwhile. What it leaves of them is in the incoming BIO afterwards. Errors: MemoryError.
    pub(in super::super) fn reading<T>(
        &self,
        py: Python<'_>,
        records: &[u8],
        work: impl FnOnce(&Self) -> T,
    ) -> PyResult<T> {
        if records.len() < LENDS || self.received(py) > 0 {
            self.feed(py, records)?;
            return Ok(work(self));
        }
        let lent = self.lend(records)?;
        let outcome = work(&Self { owner: self.owner.clone_ref(py), incoming: lent.bio, ..*self });
        // SAFETY: a living BIO.
        let unread = unsafe { (self.functions.bio_pending)(lent.bio) };
        drop(lent);
        self.feed(py, records.get(records.len() - unread..).unwrap_or_default())?;
        Ok(outcome)
    }

    fn lend<'a>(&'a self, records: &'a [u8]) -> PyResult<Lent<'a>> {
        let functions = self.functions;
        let length = c_int::try_from(records.len())?;
        // SAFETY: memory of that length, which the BIO reads and never changes.
        let bio = unsafe { (functions.bio_of_memory)(records.as_ptr().cast(), length) };
        let lent = Lent::new(self, functions.set_rbio, self.incoming, bio)?;
        // SAFETY: a living BIO. At its end there is nothing yet, as in a MemoryBIO.
        unsafe { (functions.bio_control)(bio, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, ptr::null_mut()) };
        Ok(lent)
    }

    /// Calls `make_record` with the SSL writing into `output`, until that is full or the answer is
    /// that there are no more. What is too long goes on in the outgoing BIO. Errors: MemoryError.
    pub(in super::super) fn writing(
        &self,
        py: Python<'_>,
        output: &mut Output<'_>,
        mut make_record: impl FnMut() -> bool,
    ) -> PyResult<()> {
        let functions = self.functions;
        let mut sink = Sink { output, ssl: self };
        let sink = &raw mut sink;
        let method = METHOD.get_or_try_init(py, || Method::new(functions))?;
        // SAFETY: a method that is never freed.
        let bio = unsafe { (functions.bio_new)(method.0) };
        let lent = Lent::new(self, functions.set_wbio, self.outgoing, bio)?;
        // SAFETY: a living BIO, gone before the sink is.
        unsafe { (functions.bio_set_data)(bio, sink.cast()) };
        // SAFETY: the same.
        unsafe { (functions.bio_set_init)(bio, 1) };
        // SAFETY: nobody writes now.
        while !unsafe { (*sink).output.is_full() } && make_record() {}
        drop(lent);
        Ok(())
    }
}

/// The kind of BIO that has a [`Sink`].
struct Method(Pointer);

static METHOD: PyOnceLock<Method> = PyOnceLock::new();

// SAFETY: nobody changes it after it was made.
unsafe impl Send for Method {}
// SAFETY: the same.
unsafe impl Sync for Method {}

impl Method {
    fn new(functions: &Functions) -> PyResult<Self> {
        // SAFETY: a constant text.
        let method =
            unsafe { (functions.bio_method_new)(BIO_TYPE_SOURCE_SINK, c"ferroloop".as_ptr()) };
        if method.is_null() {
            return Err(PyMemoryError::new_err(()));
        }
        // SAFETY: a method that nobody else has, and a function that writes as BIO_write_ex does.
        unsafe { (functions.bio_method_set_write)(method, write) };
        // SAFETY: the same, and a function that answers as BIO_ctrl does.
        unsafe { (functions.bio_method_set_control)(method, control) };
        Ok(Self(method))
    }
}

/// Writes to a BIO's [`Sink`], some or all: OpenSSL comes again with what is left.
unsafe extern "C" fn write(
    bio: Pointer,
    data: *const c_void,
    length: usize,
    written: *mut usize,
) -> c_int {
    // SAFETY: only `Ssl::writing` makes such BIOs, and it holds a token of the interpreter.
    let py = unsafe { Python::assume_attached() };
    let Some(Ok(functions)) = FUNCTIONS.get(py) else { return 0 };
    // SAFETY: OpenSSL calls with a living BIO.
    let sink = unsafe { (functions.bio_get_data)(bio) };
    // SAFETY: the one of `Ssl::writing`, which does not look at it now.
    let Some(sink) = (unsafe { sink.cast::<Sink<'_, '_>>().as_mut() }) else { return 0 };
    // SAFETY: OpenSSL's memory, of that length.
    let data = unsafe { slice::from_raw_parts(data.cast::<u8>(), length) };
    let mut count = sink.output.push(data);
    if count == 0 && sink.ssl.put(py, sink.ssl.outgoing, data).is_ok() {
        count = length;
    }
    // SAFETY: OpenSSL wants to know it there.
    unsafe { written.write(count) };
    (count > 0).into()
}

/// There is nothing to control, and nothing to flush.
unsafe extern "C" fn control(_: Pointer, command: c_int, _: c_long, _: Pointer) -> c_long {
    (command == BIO_CTRL_FLUSH).into()
}
