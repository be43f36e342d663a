//! Who calls, on the server's side: the one metadata entry is believed only when it comes from
//! this process, or over mutual TLS from a certificate that is named.

use std::{collections::BTreeSet, sync::Arc};

use http::{Extensions, HeaderMap};
use rota_types::Caller;
use tonic::{Request, Status};

use crate::{Clock, SystemClock, listen::Peer, rpc::InProcess};

/// Whose word about the caller is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Requests of this process, and no others.
    InProcess,
    /// Besides those, peers with a verified certificate that carries one of these names as
    /// DNS name or common name.
    Certificates(BTreeSet<String>),
    /// Everybody. For tests on loopback, where the transport has no certificates.
    Everybody,
}

impl Trust {
    /// Trusts certificates with one of `names`.
    pub fn certificates<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::Certificates(names.into_iter().map(Into::into).collect())
    }

    fn accepts(&self, extensions: &Extensions) -> bool {
        if extensions.get::<InProcess>().is_some() {
            return true;
        }
        match self {
            Self::InProcess => false,
            Self::Everybody => true,
            Self::Certificates(names) => {
                extensions.get::<Peer>().and_then(|peer| peer.certificate.as_ref()).is_some_and(
                    |certificate| certificate.names.iter().any(|name| names.contains(name)),
                )
            }
        }
    }
}

/// The caller that the gateway stated for this request. Refused (`UNAUTHENTICATED`) where none
/// was stated, or where the statement has run out.
pub fn caller<T>(request: &Request<T>) -> Result<Arc<Caller>, Status> {
    let caller = request
        .extensions()
        .get::<Arc<Caller>>()
        .ok_or_else(|| Status::unauthenticated("the request states no caller"))?;
    if caller.expires < SystemClock.now() {
        return Err(Status::unauthenticated("the statement about the caller has expired"));
    }
    Ok(Arc::clone(caller))
}

/// Reads the caller out of an incoming request's headers, if it states one.
pub(crate) fn stated(
    trust: &Trust,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Option<Arc<Caller>>, Status> {
    let Some(entry) = headers.get(Caller::METADATA_KEY) else { return Ok(None) };
    if !trust.accepts(extensions) {
        return Err(Status::unauthenticated("this peer may not state who calls"));
    }
    let caller =
        entry.to_str().ok().and_then(|text| Caller::decode(text).ok()).ok_or_else(|| {
            Status::unauthenticated("the statement about the caller cannot be read")
        })?;
    Ok(Some(Arc::new(caller)))
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};
    use rota_types::TenantId;
    use rustls::pki_types::CertificateDer;

    use super::*;
    use crate::tls::PeerCertificate;

    fn headers(caller: &Caller) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(Caller::METADATA_KEY, caller.encode().parse().unwrap());
        headers
    }

    fn from_certificate(name: &str) -> Extensions {
        let certificate =
            PeerCertificate { der: CertificateDer::from(Vec::new()), names: vec![name.to_owned()] };
        let mut extensions = Extensions::new();
        extensions.insert(Peer {
            address: ([127, 0, 0, 1], 1).into(),
            certificate: Some(Arc::new(certificate)),
        });
        extensions
    }

    #[test]
    fn only_named_certificates_may_state_a_caller() {
        let caller = Caller::service("gateway", TenantId::mint(), Utc::now());
        let trust = Trust::certificates(["gateway"]);
        let stated = |extensions: Extensions| stated(&trust, &headers(&caller), &extensions);
        assert_eq!(stated(from_certificate("gateway")).unwrap().as_deref(), Some(&caller));
        assert!(stated(from_certificate("stranger")).is_err());
        assert!(stated(Extensions::new()).is_err());
    }

    #[test]
    fn a_statement_that_cannot_be_read_is_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(stated(&Trust::Everybody, &headers, &Extensions::new()).unwrap(), None);
        headers.insert(Caller::METADATA_KEY, "nonsense".parse().unwrap());
        assert!(stated(&Trust::Everybody, &headers, &Extensions::new()).is_err());
    }

    #[test]
    fn a_caller_expires() {
        let mut request = Request::new(());
        assert!(caller(&request).is_err());
        let tenant = TenantId::mint();
        let ended = Caller::service("a", tenant, Utc::now() - TimeDelta::seconds(1));
        request.extensions_mut().insert(Arc::new(ended));
        assert!(caller(&request).is_err());
        let holds = Caller::service("a", tenant, Utc::now() + TimeDelta::seconds(60));
        request.extensions_mut().insert(Arc::new(holds));
        assert_eq!(caller(&request).unwrap().tenant, tenant);
    }
}
