//! OpenSSL itself: functions of the libssl that the interpreter's `_ssl` has loaded, and the `SSL`
//! inside an `ssl.SSLObject`.
//!
//! Nothing is linked: the functions are looked up through `_ssl`'s own shared object, so they are
//! those that CPython calls, or none at all where OpenSSL is linked into it and hidden. Where the
//! `SSL` lies in CPython's object is known for the versions named here and is checked for each
//! connection against what the object itself says. Any doubt is told as a text, and the connection
//! stays with its SSLObject.

#![allow(unsafe_code, reason = "the binding's address for calls of libssl")]

mod functions;
mod lent;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use pyo3::exceptions::PyMemoryError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use self::functions::{Functions, functions};
use crate::cell::Share;
use crate::names;

type Pointer = *mut c_void;
/// Why a connection stays with its SSLObject.
pub(super) type Doubt = &'static str;

/// Why there is no [`Ssl`].
pub(super) enum NoSsl {
    Doubt(Doubt),
    /// Python raised an error instead of an answer.
    Raised(PyErr),
}

impl From<Doubt> for NoSsl {
    fn from(doubt: Doubt) -> Self {
        Self::Doubt(doubt)
    }
}

impl From<PyErr> for NoSsl {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

/// One of CPython's objects is not laid out as in the versions that this module knows.
const UNKNOWN: NoSsl = NoSsl::Doubt("the layout of this Python's SSL objects is not the known one");

// <openssl/ssl.h>
const OPENSSL_3: u64 = 0x3000_0000;
const OP_NO_RENEGOTIATION: u64 = 1 << 30;
const OP_ALLOW_CLIENT_RENEGOTIATION: u64 = 1 << 8; // from OpenSSL 3 on
const SSL_ERROR_WANT_READ: c_int = 2;
const SSL_ERROR_WANT_WRITE: c_int = 3;

/// The `SSL` of one connection after its handshake, and its BIOs.
pub(super) struct Ssl {
    functions: &'static Functions,
    /// CPython's `_SSLSocket`, which owns the `SSL`, which owns the BIOs.
    owner: Py<PyAny>,
    handle: Pointer,
    incoming: Pointer,
    outgoing: Pointer,
}

// SAFETY: the pointers are used only by methods that are given a token of the interpreter, and so
// by one thread at a time: there is none for a free-threaded one.
unsafe impl Send for Ssl {}

/// Memory for OpenSSL to write into, and how much of it is filled.
pub(super) struct Output<'a> {
    memory: &'a mut [MaybeUninit<u8>],
    filled: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(memory: &'a mut [MaybeUninit<u8>]) -> Self {
        Self { memory, filled: 0 }
    }

    /// The memory of a buffer, which is initialized.
    pub(super) fn of(memory: &'a mut [u8]) -> Self {
        let memory: *mut [u8] = memory;
        // SAFETY: the same memory, of which this module has only OpenSSL write, and so bytes.
        Self::new(unsafe { &mut *(memory as *mut [MaybeUninit<u8>]) })
    }

    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled >= self.memory.len()
    }

    /// Takes the beginning of `data`, as much as there is room for; how much that is.
    fn push(&mut self, data: &[u8]) -> usize {
        let rest = self.rest();
        let count = data.len().min(rest.len());
        for (to, from) in rest.iter_mut().zip(data) {
            to.write(*from);
        }
        self.filled += count;
        count
    }

    fn rest(&mut self) -> &mut [MaybeUninit<u8>] {
        self.memory.get_mut(self.filled..).unwrap_or_default()
    }
}

/// What OpenSSL did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Moved(usize),
    /// It waits for the network.
    Waits,
    /// The peer has ended its side, or something is wrong: its SSLObject will say what.
    Stuck,
}

impl Ssl {
    /// The `SSL` inside `object`, which reads from and writes to the two MemoryBIOs.
    pub(super) fn of<'py>(
        object: &Bound<'py, PyAny>,
        incoming: &Bound<'py, PyAny>,
        outgoing: &Bound<'py, PyAny>,
    ) -> Result<Self, NoSsl> {
        let py = object.py();
        let functions = functions(py)?;
        let context = plain_context(object)?;
        let owner = object.getattr(intern!(py, "_sslobj"))?;
        let bio_class = names::memory_bio_class(py)?;
        let this = Self {
            functions,
            handle: handle_in(&owner, &context)?,
            owner: owner.unbind(),
            incoming: first_address(incoming, bio_class)?,
            outgoing: first_address(outgoing, bio_class)?,
        };
        let its_context = first_address(&context, names::ssl_context_class(py)?)?;
        if !this.hangs_together(its_context) || !this.says_the_same(object)? {
            return Err(UNKNOWN);
        }
        Ok(this)
    }

    /// Whether the SSL has these BIOs and that context.
    fn hangs_together(&self, context: Pointer) -> bool {
        // SAFETY: by `of` the address stands where CPython keeps its SSL.
        let incoming = unsafe { (self.functions.get_rbio)(self.handle) };
        // SAFETY: the same.
        let outgoing = unsafe { (self.functions.get_wbio)(self.handle) };
        // SAFETY: the same.
        let its_context = unsafe { (self.functions.get_ssl_ctx)(self.handle) };
        (incoming, outgoing, its_context) == (self.incoming, self.outgoing, context)
    }

    /// Whether version and cipher are those that the object names: none before the handshake.
    fn says_the_same(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = object.py();
        let version: Option<String> = object.call_method0(intern!(py, "version"))?.extract()?;
        let cipher: Option<(String, String, u32)> =
            object.call_method0(intern!(py, "cipher"))?.extract()?;
        // SAFETY: an SSL that has passed `hangs_together`; answers with a constant text.
        let its_version = text(unsafe { (self.functions.get_version)(self.handle) });
        // SAFETY: the same; null before the handshake.
        let its_cipher = unsafe { (self.functions.get_cipher)(self.handle) };
        // SAFETY: a cipher or null, for which the name is a constant too.
        let its_cipher = text(unsafe { (self.functions.cipher_name)(its_cipher) });
        Ok(version.is_some()
            && version == its_version
            && cipher.map(|(name, ..)| name) == its_cipher)
    }

    pub(super) fn share(&self, share: Share<'_>) -> Self {
        Self { owner: share.share(&self.owner), ..*self }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)
    }

    /// Decrypts into `output`, from one record at most.
    pub(super) fn read(&self, _py: Python<'_>, output: &mut Output<'_>) -> Step {
        let mut count = 0;
        let rest = output.rest();
        let start = rest.as_mut_ptr().cast();
        // SAFETY: a living SSL, which `owner` keeps, used by one thread at a time; writes no more
        // than the length, and the count.
        let status =
            unsafe { (self.functions.read)(self.handle, start, rest.len(), &raw mut count) };
        output.filled += count;
        self.step(status, count)
    }

    /// Encrypts the beginning of `data`, one record at most, as CPython sets SSLs up.
    pub(super) fn write(&self, _py: Python<'_>, data: &[u8]) -> Step {
        let mut count = 0;
        let start = data.as_ptr().cast();
        // SAFETY: as in `read`; reads no more than the length. A write that has to be repeated may
        // come from elsewhere (SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, as CPython sets it).
        let status =
            unsafe { (self.functions.write)(self.handle, start, data.len(), &raw mut count) };
        self.step(status, count)
    }

    fn step(&self, status: c_int, count: usize) -> Step {
        if status > 0 {
            return Step::Moved(count);
        }
        // SAFETY: a living SSL, right after the call in question, as the function demands. It
        // leaves the error for CPython to find.
        match unsafe { (self.functions.get_error)(self.handle, status) } {
            SSL_ERROR_WANT_READ | SSL_ERROR_WANT_WRITE => Step::Waits,
            _ => Step::Stuck,
        }
    }

    /// Empties the thread's queue of errors, which the next call, of any SSL, would find its own
    /// in.
    pub(super) fn clear_errors(&self, _py: Python<'_>) {
        // SAFETY: takes nothing and concerns this thread alone.
        unsafe { (self.functions.clear_errors)() };
    }

    /// Puts records into the incoming BIO. Errors: MemoryError.
    pub(super) fn feed(&self, py: Python<'_>, records: &[u8]) -> PyResult<()> {
        self.put(py, self.incoming, records)
    }

    fn put(&self, _py: Python<'_>, bio: Pointer, records: &[u8]) -> PyResult<()> {
        let mut count = 0;
        let start = records.as_ptr().cast();
        // SAFETY: a living BIO, one of the connection's; copies that many bytes.
        unsafe { (self.functions.bio_write)(bio, start, records.len(), &raw mut count) };
        if count < records.len() {
            return Err(PyMemoryError::new_err(()));
        }
        Ok(())
    }

    /// Takes records out of the outgoing BIO.
    pub(super) fn drain(&self, _py: Python<'_>, output: &mut Output<'_>) {
        let mut count = 0;
        let rest = output.rest();
        let start = rest.as_mut_ptr().cast();
        // SAFETY: a living BIO, which `owner` keeps; writes no more than the length, and the count,
        // which stays zero if there is nothing.
        unsafe { (self.functions.bio_read)(self.outgoing, start, rest.len(), &raw mut count) };
        output.filled += count;
    }

    /// Bytes received and not decrypted.
    pub(super) fn received(&self, _py: Python<'_>) -> usize {
        // SAFETY: a living BIO.
        unsafe { (self.functions.bio_pending)(self.incoming) }
    }

    /// Bytes of records that wait to be sent.
    pub(super) fn unsent(&self, _py: Python<'_>) -> usize {
        // SAFETY: a living BIO.
        unsafe { (self.functions.bio_pending)(self.outgoing) }
    }

    /// Whether OpenSSL holds the beginning of a record, or data that nobody has read.
    pub(super) fn is_within_record(&self, _py: Python<'_>) -> bool {
        // SAFETY: a living SSL; looks and changes nothing.
        unsafe { (self.functions.has_pending)(self.handle) > 0 }
    }
}

/// The context of an SSLObject that has nothing of its user's in it.
fn plain_context<'py>(object: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>, NoSsl> {
    let py = object.py();
    if !object.get_type().is(names::ssl_object_class(py)?) {
        return Err("the SSLObject is of a class of its own".into());
    }
    let context = object.getattr(intern!(py, "context"))?;
    if has_callbacks(&context)? {
        return Err("the context has callbacks for messages or keys".into());
    }
    if asks_for_names_again(object, &context)? {
        return Err("a renegotiation would call the context's sni_callback".into());
    }
    Ok(context)
}

/// Whether a client may have a server's callback called amid a read, where nobody expects Python.
fn asks_for_names_again(object: &Bound<'_, PyAny>, context: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    if context.getattr(intern!(py, "sni_callback"))?.is_none()
        || object.call_method0(intern!(py, "version"))?.eq("TLSv1.3")?
    {
        return Ok(false);
    }
    let options: u64 = context.getattr(intern!(py, "options"))?.extract()?;
    let openssl: u64 = py.import("ssl")?.getattr("OPENSSL_VERSION_NUMBER")?.extract()?;
    Ok(if openssl < OPENSSL_3 {
        options & OP_NO_RENEGOTIATION == 0
    } else {
        options & OP_ALLOW_CLIENT_RENEGOTIATION != 0
    })
}

/// Whether OpenSSL would call Python for every record: only CPython's own calls report its errors.
fn has_callbacks(context: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = context.py();
    let messages = context.getattr(intern!(py, "_msg_callback"))?;
    let keys = context.getattr(intern!(py, "keylog_filename"))?;
    Ok(!messages.is_none() || !keys.is_none())
}

/// The `SSL` of CPython's `_SSLSocket`, which begins with its socket, of which SSLObjects have
/// none, its SSL and its context.
fn handle_in(owner: &Bound<'_, PyAny>, context: &Bound<'_, PyAny>) -> Result<Pointer, NoSsl> {
    let [socket, ssl, its_context] = head(owner, names::ssl_socket_class(owner.py())?)?;
    if !socket.is_null() || its_context != context.as_ptr().cast() {
        return Err(UNKNOWN);
    }
    address(ssl)
}

/// What `MemoryBIO` and `SSLContext` are named for, which they begin with.
fn first_address(object: &Bound<'_, PyAny>, class: &Bound<'_, PyAny>) -> Result<Pointer, NoSsl> {
    let [first] = head(object, class)?;
    address(first)
}

/// The words that follow the object's header, if it is of the class and that has so many.
fn head<const N: usize>(
    object: &Bound<'_, PyAny>,
    class: &Bound<'_, PyAny>,
) -> Result<[Pointer; N], NoSsl> {
    let py = object.py();
    let size =
        |class: &Bound<'_, PyAny>| class.getattr(intern!(py, "__basicsize__"))?.extract::<usize>();
    let header = size(py.get_type::<PyAny>().as_any())?;
    // The type itself: an object may say anything of its `__class__`.
    if !object.get_type().is_subclass(class)? || size(class)? < header + N * size_of::<Pointer>() {
        return Err(UNKNOWN);
    }
    let start = object.as_ptr().wrapping_byte_add(header).cast::<[Pointer; N]>();
    // SAFETY: an instance of the class has at least the class's size, is aligned like a pointer,
    // and the words in that lie within it.
    Ok(unsafe { ptr::read(start) })
}

/// The word, if it is neither null nor unaligned: OpenSSL's objects come from malloc.
fn address(word: Pointer) -> Result<Pointer, NoSsl> {
    if word.is_null() || !word.addr().is_multiple_of(align_of::<Pointer>()) {
        return Err(UNKNOWN);
    }
    Ok(word)
}

fn text(constant: *const c_char) -> Option<String> {
    if constant.is_null() {
        return None;
    }
    // SAFETY: OpenSSL's names are constant texts with a NUL at the end.
    let text = unsafe { CStr::from_ptr(constant) };
    text.to_str().ok().map(str::to_owned)
}
