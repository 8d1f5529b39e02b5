//! A connection to the server: a socket, or TLS over one (transport `tls`).

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

pub(crate) enum Stream {
    Plain(File),
    Tls(Box<Tls>),
}

pub(crate) struct Tls {
    file: File,
    records: ClientConnection,
}

/// What all connections to a TLS server have in common. Sessions are not resumed: each connection
/// is the first one.
pub(crate) fn tls_config(authority: &str) -> io::Result<Arc<ClientConfig>> {
    let mut trusted = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).map_err(io::Error::other)? {
        let certificate = certificate.map_err(io::Error::other)?;
        trusted.add(certificate).map_err(io::Error::other)?;
    }
    let mut config = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

impl Stream {
    pub(crate) fn file(&self) -> &File {
        match self {
            Self::Plain(file) => file,
            Self::Tls(tls) => &tls.file,
        }
    }
}

impl Tls {
    /// Says hello; the handshake goes on with every read.
    pub(crate) fn new(file: File, config: Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut records = ClientConnection::new(config, name).map_err(io::Error::other)?;
        records.set_buffer_limit(None);
        let mut tls = Self { file, records };
        tls.push()?;
        Ok(tls)
    }

    /// Sends records as far as the socket takes them.
    fn push(&mut self) -> io::Result<()> {
        while self.records.wants_write() {
            match self.records.write_tls(&mut self.file) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                other => drop(other?),
            }
        }
        Ok(())
    }
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.push()?;
            match self.records.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            self.records.read_tls(&mut self.file)?;
            self.records.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Write for Tls {
    /// Takes everything, before the handshake is over too.
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.records.writer().write(data)?;
        self.push()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(data),
            Self::Tls(tls) => tls.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
