//! HTTP proxies, as the environment names them.
//!
//! `http_proxy` is for plain HTTP, `https_proxy` for HTTPS, `no_proxy` lists hosts that are reached
//! directly; each name may also be written in capitals.

use base64::{Engine, engine::general_purpose::STANDARD};
use ureq::http::{Uri, uri::Authority};

/// The environment's proxies cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    #[error("{lower} and {upper} differ; unset one of them")]
    Contradiction { lower: String, upper: String },
    /// A CGI program gets the header `Proxy` of a request in this variable.
    #[error("HTTP_PROXY is not trusted where REQUEST_METHOD is set; use http_proxy")]
    Cgi,
    #[error("{name} is not an address like http://host:port")]
    Address { name: String },
    #[error("{name} names a proxy of another kind than http")]
    Kind { name: String },
}

/// Which proxy leads where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<Pattern>,
}

/// A proxy's address.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// For `Proxy-Authorization`.
    pub(super) authorization: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

/// Hosts that need no proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    All,
    /// A host and all below it.
    Host(String),
    /// What is below a host, but not itself.
    Below(String),
}

impl Proxies {
    /// Reads variables; empty ones are not set.
    pub(super) fn from_environment(
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ProxyError> {
        let variable = |lower: &str| {
            let upper = lower.to_uppercase();
            let set = |name: &str| get(name).filter(|value| !value.trim().is_empty());
            match (set(lower), set(&upper)) {
                (Some(one), Some(other)) if one != other => {
                    Err(ProxyError::Contradiction { lower: lower.to_owned(), upper })
                }
                (None, Some(_)) if upper == "HTTP_PROXY" && get("REQUEST_METHOD").is_some() => {
                    Err(ProxyError::Cgi)
                }
                (one, other) => Ok(one.or(other)),
            }
        };
        let proxy = |name| match variable(name)? {
            Some(address) => Proxy::parse(name, address.trim()).map(Some),
            None => Ok(None),
        };
        let list = variable("no_proxy")?.unwrap_or_default();
        let entries = list.split(|c: char| c == ',' || c.is_whitespace());
        Ok(Self {
            http: proxy("http_proxy")?,
            https: proxy("https_proxy")?,
            direct: entries.filter_map(Pattern::parse).collect(),
        })
    }

    /// The proxy on the way to an address, if there is one.
    pub(super) fn towards(&self, uri: &Uri) -> Option<&Proxy> {
        let proxy = if uri.scheme_str() == Some("https") { &self.https } else { &self.http };
        let host = bare(uri.host()?).to_lowercase();
        proxy.as_ref().filter(|_| !self.direct.iter().any(|pattern| pattern.matches(&host)))
    }
}

impl Proxy {
    fn parse(name: &str, address: &str) -> Result<Self, ProxyError> {
        let wrong = || ProxyError::Address { name: name.to_owned() };
        let rest = match address.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(ProxyError::Kind { name: name.to_owned() }),
            None => address,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, place) = match rest.split_at(end).0.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest.split_at(end).0),
        };
        let place: Authority = place.parse().map_err(|_| wrong())?;
        if place.host().is_empty() {
            return Err(wrong());
        }
        let authorization = user.map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            let mut secret = percent_decode(user);
            secret.push(b':');
            secret.extend(percent_decode(password));
            format!("Basic {}", STANDARD.encode(secret))
        });
        let host = bare(place.host()).to_owned();
        Ok(Self { host, port: place.port_u16().unwrap_or(80), authorization })
    }
}

impl Pattern {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.to_lowercase();
        // Ports make no difference.
        let name = match entry.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => match name {
                _ if name.contains(':') && !name.ends_with(']') => &entry,
                _ => name,
            },
            _ => &entry,
        };
        match name {
            "" => None,
            "*" => Some(Self::All),
            _ => Some(match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
                Some(parent) => Self::Below(parent.to_owned()),
                None => Self::Host(bare(name).to_owned()),
            }),
        }
    }

    fn matches(&self, host: &str) -> bool {
        let is_below = |parent: &str| {
            host.strip_suffix(parent).is_some_and(|start| start.len() > 1 && start.ends_with('.'))
        };
        match self {
            Self::All => true,
            Self::Host(name) => host == name || is_below(name),
            Self::Below(parent) => is_below(parent),
        }
    }
}

/// An IPv6 address without its brackets.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// What is no valid escape stands for itself.
fn percent_decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                if let (Some(high), Some(low)) = (digit(*high), digit(*low)) {
                    decoded.push(high << 4 | low);
                    rest = after;
                    continue;
                }
                decoded.push(b'%');
            }
            _ => decoded.push(*first),
        }
        rest = tail;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        Proxies::from_environment(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    fn towards(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let proxies = proxies(variables).unwrap();
        proxies.towards(&url.parse().unwrap()).map(|proxy| format!("{}:{}", proxy.host, proxy.port))
    }

    #[test]
    fn each_scheme_has_its_proxy_in_either_case() {
        for (variables, url, expected) in [
            (vec![], "http://a/", None),
            (vec![("http_proxy", "http://p:3128")], "http://a/", Some("p:3128")),
            (vec![("HTTP_PROXY", "http://p:3128")], "http://a/", Some("p:3128")),
            (vec![("http_proxy", "http://p:3128")], "https://a/", None),
            (vec![("https_proxy", "p")], "https://a/", Some("p:80")),
            (vec![("HTTPS_PROXY", "http://p:1/")], "https://a/", Some("p:1")),
            (vec![("HTTPS_PROXY", "http://p:1")], "http://a/", None),
            (vec![("http_proxy", ""), ("HTTP_PROXY", "p")], "http://a/", Some("p:80")),
            (vec![("http_proxy", "p"), ("HTTP_PROXY", "p")], "http://a/", Some("p:80")),
            (vec![("http_proxy", "http://[::1]:8080")], "http://a/", Some("::1:8080")),
            (vec![("http_proxy", "http://u:p@h:8080")], "http://a/", Some("h:8080")),
            // In lower case the variable cannot come from a request.
            (vec![("http_proxy", "p"), ("REQUEST_METHOD", "GET")], "http://a/", Some("p:80")),
        ] {
            assert_eq!(towards(&variables, url).as_deref(), expected, "{variables:?} {url}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        let contradiction =
            ProxyError::Contradiction { lower: "https_proxy".into(), upper: "HTTPS_PROXY".into() };
        let address = || ProxyError::Address { name: "http_proxy".into() };
        for (variables, expected) in [
            (vec![("https_proxy", "a"), ("HTTPS_PROXY", "b")], contradiction),
            (vec![("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")], ProxyError::Cgi),
            (vec![("http_proxy", "http://")], address()),
            (vec![("http_proxy", "http://u:p@")], address()),
            (vec![("http_proxy", "a b")], address()),
            (vec![("http_proxy", "socks5://a")], ProxyError::Kind { name: "http_proxy".into() }),
        ] {
            assert_eq!(proxies(&variables), Err(expected), "{variables:?}");
        }
    }

    #[test]
    fn hosts_without_a_proxy() {
        for (list, host, is_direct) in [
            ("a.example b.example", "a.example", true),
            ("a.example,b.example", "b.example", true),
            ("a.example, b.example", "b.example", true),
            ("A.Example", "a.eXample", true),
            ("example", "a.example", true),
            ("example", "anexample", false),
            (".example", "a.example", true),
            (".example", "example", false),
            (".example", ".example", false),
            ("*.example", "a.b.example", true),
            ("*", "anything", true),
            ("", "a", false),
            (" , ", "a", false),
            ("a:8080", "a", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.11", false),
            ("::1", "[::1]", true),
            ("[::1]:80", "[::1]", true),
        ] {
            let variables = [("http_proxy", "p"), ("NO_PROXY", list)];
            let proxy = towards(&variables, &format!("http://{host}/"));
            assert_eq!(proxy.is_none(), is_direct, "{list:?} {host}");
        }
    }

    #[test]
    fn credentials_are_decoded_once() {
        for (user, expected) in
            [("u:p", "u:p"), ("u", "u:"), ("u%40h:p%3a%25", "u@h:p:%"), ("u:%zz%4", "u:%zz%4")]
        {
            let proxies = proxies(&[("http_proxy", &format!("http://{user}@h"))]).unwrap();
            let proxy = proxies.towards(&"http://a/".parse().unwrap()).unwrap();
            let secret = format!("Basic {}", STANDARD.encode(expected));
            assert_eq!(proxy.authorization.as_deref(), Some(&*secret), "{user}");
            assert!(!format!("{proxy:?}").contains(&secret));
        }
    }
}
