//! The head of a forwarded request.

use ureq::http::Uri;

use crate::server::proxy::Proxy;

/// Headers about the connection to us, and those that say where we are.
const OUR_OWN: [&str; 5] =
    ["host", "connection", "keep-alive", "proxy-connection", "proxy-authorization"];

/// A request's line and headers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    method: String,
    /// Begins with a slash.
    path: String,
    headers: Vec<String>,
    is_upgrade: bool,
}

impl Head {
    /// Reads a head that ends with an empty line, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(path), Some("HTTP/1.1" | "HTTP/1.0"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("this is no request of HTTP/1.1");
        };
        if !path.starts_with('/') {
            return Err("requests go to the device's own server only");
        }
        let mut head = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            is_upgrade: false,
        };
        for line in lines {
            let name = line.split_once(':').map(|(name, _)| name).unwrap_or_default();
            if name.is_empty() || name.contains(char::is_whitespace) || line.contains(['\r', '\n'])
            {
                return Err("a header has no name");
            }
            let name = name.to_ascii_lowercase();
            head.is_upgrade |= name == "upgrade";
            if !OUR_OWN.contains(&name.as_str()) {
                head.headers.push(line.to_owned());
            }
        }
        Ok(head)
    }

    /// The same request for the server. Only one is made on each connection.
    pub(super) fn for_server(&self, server: &Uri, proxy: Option<&Proxy>) -> Vec<u8> {
        let place = server.authority().map_or("", |authority| authority.as_str());
        let origin = if proxy.is_some() { format!("http://{place}") } else { String::new() };
        let prefix = server.path().trim_end_matches('/');
        let Self { method, path, .. } = self;
        let mut head = format!("{method} {origin}{prefix}{path} HTTP/1.1\r\nHost: {place}\r\n");
        head += if self.is_upgrade { "Connection: Upgrade\r\n" } else { "Connection: close\r\n" };
        if let Some(authorization) = proxy.and_then(|proxy| proxy.authorization.as_ref()) {
            head += "Proxy-Authorization: ";
            head += authorization;
            head += "\r\n";
        }
        for header in &self.headers {
            head += header;
            head += "\r\n";
        }
        head += "\r\n";
        head.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(text: &str, server: &str, proxy: Option<&Proxy>) -> String {
        let head = Head::parse(text).unwrap();
        String::from_utf8(head.for_server(&server.parse().unwrap(), proxy)).unwrap()
    }

    #[test]
    fn a_request_is_made_to_fit_the_server() {
        let request = "GET /a?b HTTP/1.1\r\nhost: 127.0.0.1:1\r\nX: y\r\nKeep-Alive: 5\r\n\r\n";
        assert_eq!(
            forwarded(request, "https://h:8443/prefix/", None),
            "GET /prefix/a?b HTTP/1.1\r\nHost: h:8443\r\nConnection: close\r\nX: y\r\n\r\n"
        );
        let upgrade =
            "GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(
            forwarded(upgrade, "https://h", None),
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
        let proxy = Proxy { host: "p".into(), port: 1, authorization: Some("Basic x".into()) };
        assert_eq!(
            forwarded("GET / HTTP/1.0\r\n\r\n", "http://h", Some(&proxy)),
            "GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
             Proxy-Authorization: Basic x\r\n\r\n"
        );
    }

    #[test]
    fn requests_that_lead_elsewhere_or_nowhere_are_refused() {
        for bad in [
            "GET http://elsewhere/ HTTP/1.1\r\n\r\n",
            "CONNECT elsewhere:22 HTTP/1.1\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET / x HTTP/1.1\r\n\r\n",
            "hello\r\n\r\n",
            "GET / HTTP/1.1\r\nno header\r\n\r\n",
            "GET / HTTP/1.1\r\nX: y\r\n folded: z\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : elsewhere\r\n\r\n",
            "GET / HTTP/1.1\r\nX: y\nHost: elsewhere\r\n\r\n",
        ] {
            assert!(Head::parse(bad).is_err(), "{bad:?}");
        }
    }
}
