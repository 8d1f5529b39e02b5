//! The Python objects the binding needs, each imported once, on first use.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

macro_rules! imported {
    ($($(#[$doc:meta])* $name:ident = $module:literal . $attribute:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
            static OBJECT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            OBJECT.import(py, $module, $attribute)
        }
    )*};
}

/// Methods of classes: to look one up takes longer than to call it.
macro_rules! methods {
    ($($name:ident = $class:ident . $method:literal;)*) => {$(
        pub(crate) fn $name(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
            static METHOD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            let method = METHOD.get_or_try_init(py, || $class(py)?.getattr($method).map(Bound::unbind));
            Ok(method?.bind(py))
        }
    )*};
}

methods! {
    // Of what a program has put into the place of `socket.socket`, if it has.
    socket_fileno = socket_class."fileno";
    c_socket_fileno = c_socket_class."fileno";
}

imported! {
    future_class = "asyncio"."Future";
    handle_class = "asyncio"."Handle";
    timer_handle_class = "asyncio"."TimerHandle";
    transport_class = "asyncio"."Transport";
    read_transport_class = "asyncio"."ReadTransport";
    datagram_transport_class = "ferroloop._datagram"."AnyTransport";
    task_class = "asyncio"."Task";
    tasks_module = "asyncio"."tasks";
    buffered_protocol_class = "asyncio"."BufferedProtocol";
    transport_socket_class = "asyncio.trsock"."TransportSocket";
    stream_socket_class = "ferroloop._stream_socket"."StreamSocket";
    sendfile_mode = "asyncio.constants"."_SendfileMode";
    set_running_loop = "asyncio"."_set_running_loop";
    get_ident = "threading"."get_ident";
    logger = "asyncio.log"."logger";
    socket_class = "socket"."socket";
    c_socket_class = "_socket"."socket";
    gaierror = "socket"."gaierror";
    inet_ntop = "socket"."inet_ntop";
    address_family = "socket"."AddressFamily";
    socket_kind = "socket"."SocketKind";
    audit = "sys"."audit";
    warn = "warnings"."warn";
    memoryview = "builtins"."memoryview";
    id = "builtins"."id";
    ssl_want_read = "ssl"."SSLWantReadError";
    ssl_want_write = "ssl"."SSLWantWriteError";
    ssl_syscall = "ssl"."SSLSyscallError";
    ssl_object_class = "ssl"."SSLObject";
    memory_bio_class = "ssl"."MemoryBIO";
    ssl_socket_class = "_ssl"."_SSLSocket";
    ssl_context_class = "_ssl"."_SSLContext";
    strerror = "os"."strerror";
    os_close = "os"."close";
    iscoroutine = "asyncio.coroutines"."iscoroutine";
    is_coroutine_function = "inspect"."iscoroutinefunction";
    /// What `asyncio.coroutine` and mocks mark their functions with.
    coroutine_marker = "asyncio.coroutines"."_is_coroutine";
    handle_repr = "ferroloop._format"."handle_repr";
    callback_text = "ferroloop._format"."callback_text";
    source_traceback = "ferroloop._format"."source_traceback";
}
