//! OpenSSL's functions, looked up in the libssl that the interpreter's `_ssl` has loaded.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_ulong, c_void};
use std::mem::transmute;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::{Doubt, NoSsl, Pointer};

/// `dlopen`'s "resolve when called"; the object is loaded already. The same number on all Unix.
const RTLD_LAZY: c_int = 1;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> Pointer;
    fn dlsym(handle: Pointer, name: *const c_char) -> Pointer;
}

pub(super) type BioWrite = unsafe extern "C" fn(Pointer, *const c_void, usize, *mut usize) -> c_int;
pub(super) type BioControl = unsafe extern "C" fn(Pointer, c_int, c_long, Pointer) -> c_long;

macro_rules! functions {
    ($($name:ident = $symbol:literal ($($argument:ty),*) -> $result:ty;)*) => {
        pub(super) struct Functions {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Functions {
            fn look_up(object: Pointer) -> Option<Self> {
                Some(Self {$(
                    $name: {
                        let address = symbol(object, $symbol)?;
                        // SAFETY: the address of the function of this name, which has this
                        // signature in every OpenSSL from 1.1.1 on.
                        unsafe { transmute::<Pointer, unsafe extern "C" fn($($argument),*) -> $result>(address) }
                    },
                )*})
            }
        }
    };
}

functions! {
    read = c"SSL_read_ex" (Pointer, Pointer, usize, *mut usize) -> c_int;
    write = c"SSL_write_ex" (Pointer, *const c_void, usize, *mut usize) -> c_int;
    get_error = c"SSL_get_error" (*const c_void, c_int) -> c_int;
    has_pending = c"SSL_has_pending" (*const c_void) -> c_int;
    set_rbio = c"SSL_set0_rbio" (Pointer, Pointer) -> ();
    set_wbio = c"SSL_set0_wbio" (Pointer, Pointer) -> ();
    get_rbio = c"SSL_get_rbio" (*const c_void) -> Pointer;
    get_wbio = c"SSL_get_wbio" (*const c_void) -> Pointer;
    get_ssl_ctx = c"SSL_get_SSL_CTX" (*const c_void) -> Pointer;
    get_version = c"SSL_get_version" (*const c_void) -> *const c_char;
    get_cipher = c"SSL_get_current_cipher" (*const c_void) -> *const c_void;
    cipher_name = c"SSL_CIPHER_get_name" (*const c_void) -> *const c_char;
    bio_read = c"BIO_read_ex" (Pointer, Pointer, usize, *mut usize) -> c_int;
    bio_write = c"BIO_write_ex" (Pointer, *const c_void, usize, *mut usize) -> c_int;
    bio_pending = c"BIO_ctrl_pending" (Pointer) -> usize;
    bio_new = c"BIO_new" (*const c_void) -> Pointer;
    bio_of_memory = c"BIO_new_mem_buf" (*const c_void, c_int) -> Pointer;
    bio_control = c"BIO_ctrl" (Pointer, c_int, c_long, Pointer) -> c_long;
    bio_share = c"BIO_up_ref" (Pointer) -> c_int;
    bio_get_data = c"BIO_get_data" (Pointer) -> Pointer;
    bio_set_data = c"BIO_set_data" (Pointer, Pointer) -> ();
    bio_set_init = c"BIO_set_init" (Pointer, c_int) -> ();
    bio_method_new = c"BIO_meth_new" (c_int, *const c_char) -> Pointer;
    bio_method_set_write = c"BIO_meth_set_write_ex" (Pointer, BioWrite) -> c_int;
    bio_method_set_control = c"BIO_meth_set_ctrl" (Pointer, BioControl) -> c_int;
    clear_errors = c"ERR_clear_error" () -> ();
    version_number = c"OpenSSL_version_num" () -> c_ulong;
}

fn symbol(object: Pointer, name: &CStr) -> Option<Pointer> {
    // SAFETY: an open object and a name; answers null for what there is not.
    let address = unsafe { dlsym(object, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// The functions, looked up once per process.
pub(super) static FUNCTIONS: PyOnceLock<Result<Functions, Doubt>> = PyOnceLock::new();

pub(super) fn functions(py: Python<'_>) -> Result<&'static Functions, Doubt> {
    let found = FUNCTIONS.get_or_init(py, || {
        load(py).map_err(|reason| match reason {
            NoSsl::Doubt(doubt) => doubt,
            NoSsl::Raised(_) => "the ssl module is not as CPython's",
        })
    });
    found.as_ref().map_err(|doubt| *doubt)
}

fn load(py: Python<'_>) -> Result<Functions, NoSsl> {
    let version = (py.version_info().major, py.version_info().minor);
    if !((3, 11)..=(3, 15)).contains(&version)
        // A free-threaded build (PEP 703), where the SSLObject has a lock of its own besides.
        || py.import("sys")?.getattr("abiflags")?.contains("t")?
    {
        return Err("the layout of this Python's SSL objects is not known".into());
    }
    let ssl = py.import("ssl")?;
    if !ssl.getattr("OPENSSL_VERSION")?.extract::<String>()?.starts_with("OpenSSL ") {
        return Err("the TLS library is not OpenSSL".into());
    }
    let path = py.import("_ssl")?.getattr("__file__").and_then(|path| path.extract::<CString>());
    let path = path.map_err(|_| "the _ssl module is part of the interpreter")?;
    // SAFETY: a path; the object behind it is loaded and never unloaded, as Python's modules are.
    let object = unsafe { dlopen(path.as_ptr(), RTLD_LAZY) };
    if object.is_null() {
        return Err("the _ssl module is no shared object".into());
    }
    let functions =
        Functions::look_up(object).ok_or("OpenSSL's functions are hidden in the _ssl module")?;
    // SAFETY: takes nothing and answers with a constant.
    let number = unsafe { (functions.version_number)() };
    if number != ssl.getattr("OPENSSL_VERSION_NUMBER")?.extract::<c_ulong>()? {
        return Err("another OpenSSL was found than the ssl module's".into());
    }
    Ok(functions)
}
