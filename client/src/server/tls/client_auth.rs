//! The client's own certificate and the key that proves it.

use std::sync::Arc;

use rustls::{
    client::ResolvesClientCert,
    crypto::CryptoProvider,
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{TlsError, certificates, read};
use crate::{config::HttpsClient, keys, log::Log};

/// Shows the certificate chain of `HttpsClient` to every server that asks for one.
pub(super) fn resolver(
    client: &HttpsClient,
    provider: &CryptoProvider,
    log: &Log,
) -> Result<Arc<dyn ResolvesClientCert>, TlsError> {
    let path = &client.certificate;
    let chain = certificates(&read(path)?);
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.clone() });
    }
    let key = keys::tls_key(&client.key, provider, log)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // Some keys do not tell their public half; then the handshake shows it.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            let key = client.key.to_string();
            return Err(TlsError::Mismatch { certificate: path.clone(), key });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}
