//! A server's certificate, and clients that trust it.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::error::Error;
use std::sync::Arc;

/// A certificate for one name, signed by itself, and its key: made anew each time.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// For `name`.
    ///
    /// # Errors
    /// When that is not a name.
    pub fn new(name: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let made = rcgen::generate_simple_self_signed([name.to_owned()])?;
        Ok(Self {
            certificate: made.cert.into(),
            key: PrivateKeyDer::try_from(made.signing_key.serialize_der())?,
        })
    }

    /// For a server that is this, and speaks the protocols `alpn`.
    ///
    /// # Errors
    /// None with a key that was just made.
    pub fn server(&self, alpn: &[&str]) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        config.alpn_protocols = protocols(alpn);
        Ok(Arc::new(config))
    }

    /// For clients that trust nobody else, and speak the protocols `alpn`.
    ///
    /// # Errors
    /// None with a certificate that was just made.
    pub fn client(&self, alpn: &[&str]) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols(alpn);
        Ok(Arc::new(config))
    }
}

fn protocols(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}
