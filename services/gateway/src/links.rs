//! Links that are the gateway's own, made absolute.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts, uri::Authority},
};

use crate::{address, app::App, error::Problem};

/// How the client reached the gateway: what links begin with where no public URL is set.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    scheme: &'static str,
    authority: Option<Authority>,
}

impl Origin {
    /// A link as the client can follow it. One that is absolute already stays as it is.
    pub(crate) fn absolute(&self, app: &App, link: String) -> Result<String, Problem> {
        if !link.starts_with('/') {
            return Ok(link);
        }
        match (&app.config.public_url, &self.authority) {
            (Some(url), _) => Ok(format!("{url}{link}")),
            (None, Some(authority)) => Ok(format!("{}://{authority}{link}", self.scheme)),
            (None, None) => Err(Problem::invalid("the request has no Host")),
        }
    }
}

impl FromRequestParts<App> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let host = parts.headers.get(header::HOST).and_then(authority);
        let proxies = &app.config.trusted_proxies;
        let forwarded = address::forwarded_scheme(&parts.extensions, &parts.headers, proxies);
        Ok(Self {
            // TLS ends here or at a proxy that says otherwise.
            scheme: if forwarded == Some("http") { "http" } else { "https" },
            authority: parts.uri.authority().cloned().or(host),
        })
    }
}

fn authority(host: &HeaderValue) -> Option<Authority> {
    let authority: Authority = host.to_str().ok()?.parse().ok()?;
    (!authority.as_str().contains('@')).then_some(authority)
}
