//! Ranges of addresses.

use std::net::IpAddr;
use std::str::FromStr;

/// An address with the length of its fixed part (RFC 4632 §3.1): `10.0.0.0/8`, `2001:db8::/32`, or one
/// address alone.
///
/// ```
/// use corelane_http::middleware::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.20.30.40".parse()?));
/// assert!(network.contains("::ffff:10.0.0.1".parse()?), "IPv4 by way of IPv6");
/// assert!(!network.contains("11.0.0.0".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no network: {reason}")]
pub struct NetworkError {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl Network {
    /// Whether this address is within.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefix_of(address.to_canonical()) == Some(self.base)
    }

    /// The address without the bits that are not fixed; `None` for one of the other family.
    fn prefix_of(&self, address: IpAddr) -> Option<IpAddr> {
        match (self.base, address) {
            (IpAddr::V4(_), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                Some(IpAddr::V4((address.to_bits() & mask).into()))
            }
            (IpAddr::V6(_), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                Some(IpAddr::V6((address.to_bits() & mask).into()))
            }
            _ => None,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let error = |reason| Err(NetworkError { text: text.to_owned(), reason });
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let Ok(base) = address.parse::<IpAddr>() else { return error("there is no IP address") };
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            // The standard library would take `+8`, too.
            Some(bits) if !bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                return error("the length of the prefix is no number");
            }
            Some(bits) => match bits.parse() {
                Ok(bits) if bits <= most => bits,
                _ => return error("the length of the prefix is beyond that of the address"),
            },
        };
        let network = Network { base, bits };
        match network.prefix_of(base) == Some(base) {
            true => Ok(network),
            false => error("the address has bits beyond the prefix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        for (network, within, without) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "::1", "1.2.3.4"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("::1", "::1", "::2"),
            ("fe80::/10", "febf::1", "fec0::"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(within.parse().unwrap()), "{network} {within}");
            assert!(!parsed.contains(without.parse().unwrap()), "{network} {without}");
        }
        for (bad, reason) in [
            ("", "no IP address"),
            ("a", "no IP address"),
            ("/8", "no IP address"),
            ("10.0.0/8", "no IP address"),
            ("10.0.0.0/", "beyond"),
            ("10.0.0.0/+8", "no number"),
            ("10.0.0.0/33", "beyond"),
            ("::/129", "beyond"),
            ("10.0.0.1/8", "bits beyond"),
            ("::1/64", "bits beyond"),
        ] {
            let error = bad.parse::<Network>().unwrap_err();
            assert!(error.reason.contains(reason), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[0-9a-f.:/+ ]{0,24}") {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert!(network.contains(network.base.to_canonical()) || network.base != network.base.to_canonical());
            }
        }
    }
}
