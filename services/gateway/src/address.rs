//! Where a request comes from: the peer, or what a trusted proxy says about it.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use axum::http::{Extensions, HeaderMap, HeaderName};
use rota_runtime::listen::Peer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// An address range: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: u128,
    /// Of the 128 bits of an IPv6 or a mapped IPv4 address.
    prefix: u32,
}

/// A text that is no address range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address or a range such as 10.0.0.0/8")]
pub struct InvalidNetwork(String);

impl Network {
    /// Whether the range holds the address.
    pub fn contains(self, address: IpAddr) -> bool {
        let shift = 128 - self.prefix;
        let cut = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
        cut(bits(address)) == cut(self.address)
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let error = || InvalidNetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let length = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(length), str::parse).map_err(|_| error())?;
        if prefix > length {
            return Err(error());
        }
        Ok(Self { address: bits(address), prefix: 128 - length + prefix })
    }
}

fn bits(address: IpAddr) -> u128 {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.to_bits()
}

/// The address that limits and records name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Reads it off a request: the last forwarded address that no trusted proxy added for
    /// another trusted proxy, or the peer.
    pub(crate) fn find(
        extensions: &Extensions,
        headers: &HeaderMap,
        trusted: &[Network],
    ) -> Option<Self> {
        let peer = extensions.get::<Peer>()?.address.ip().to_canonical();
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
        if !is_trusted(peer) {
            return Some(Self(peer));
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let hops = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.rsplit(','));
        let mut address = peer;
        for hop in hops {
            let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
            address = hop.to_canonical();
            if !is_trusted(address) {
                break;
            }
        }
        Some(Self(address))
    }

    /// What counts as one caller to a limit: the address, or the /64 of an IPv6 one, of which
    /// a single host may have all.
    pub(crate) fn for_limits(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
            }
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The scheme that a trusted proxy says the request came with.
pub(crate) fn forwarded_scheme<'a>(
    extensions: &Extensions,
    headers: &'a HeaderMap,
    trusted: &[Network],
) -> Option<&'a str> {
    let peer = extensions.get::<Peer>()?.address.ip();
    let scheme = headers.get(FORWARDED_PROTO)?.to_str().ok()?;
    (trusted.iter().any(|network| network.contains(peer)) && matches!(scheme, "http" | "https"))
        .then_some(scheme)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn find(peer: &str, forwarded: &[&'static str], trusted: &[&str]) -> String {
        let mut extensions = Extensions::new();
        extensions.insert(Peer {
            address: (peer.parse::<IpAddr>().unwrap(), 9).into(),
            certificate: None,
        });
        let lines = forwarded.iter().map(|line| (FORWARDED_FOR, HeaderValue::from_static(line)));
        let headers: HeaderMap = lines.collect();
        let trusted: Vec<_> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        ClientAddress::find(&extensions, &headers, &trusted).unwrap().to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(find("192.0.2.1", &["203.0.113.9"], &[]), "192.0.2.1");
        assert_eq!(find("192.0.2.1", &["203.0.113.9"], &["10.0.0.0/8"]), "192.0.2.1");
        assert_eq!(find("10.1.2.3", &["203.0.113.9"], &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(find("::ffff:10.1.2.3", &["203.0.113.9"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn what_a_client_forwards_itself_is_not_believed() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(find("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], &trusted), "203.0.113.9");
        assert_eq!(find("10.0.0.1", &["1.1.1.1", "203.0.113.9"], &trusted), "203.0.113.9");
        assert_eq!(find("10.0.0.1", &["1.1.1.1, nonsense"], &trusted), "10.0.0.1");
    }

    #[test]
    fn ranges_hold_their_addresses() {
        let network: Network = "2001:db8::/32".parse().unwrap();
        assert!(network.contains("2001:db8:1::1".parse().unwrap()));
        assert!(!network.contains("2001:db9::1".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains("8.8.8.8".parse().unwrap()));
        for text in ["", "10.0.0.0/33", "::/129", "a", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_ipv6_host_is_one_caller() {
        let limits = |text: &str| ClientAddress(text.parse().unwrap()).for_limits();
        assert_eq!(limits("2001:db8::1"), limits("2001:db8::ffff:2"));
        assert_ne!(limits("2001:db8::1"), limits("2001:db8:0:1::1"));
        assert_ne!(limits("192.0.2.1"), limits("192.0.2.2"));
    }
}
