//! Where others reach us.

use std::{fmt, str::FromStr};

use url::Url;

use crate::ids::Invalid;

/// Scheme, host and port under which browsers and Bitrix24 reach this listener: https and no path,
/// since the cookies of an authorization hold for a whole host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Box<str>);

impl PublicUrl {
    /// The address of a path that begins with a slash.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl FromStr for PublicUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong =
            Invalid("must be an address such as https://bitrix24.example.com, without a path");
        let url: Url = text.parse().map_err(|_| wrong)?;
        let plain = url.username().is_empty() && url.password().is_none();
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if url.scheme() != "https" || !url.has_host() || !plain || !bare {
            return Err(wrong);
        }
        Ok(Self(url.origin().ascii_serialization().into()))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_host_that_is_reached_by_https_and_nothing_more() {
        for (text, at) in [
            (
                "https://gateway.example.com",
                "https://gateway.example.com/x",
            ),
            (
                "https://Gateway.example.com:8443/",
                "https://gateway.example.com:8443/x",
            ),
        ] {
            assert_eq!(text.parse::<PublicUrl>().unwrap().at("/x"), at);
        }
        for wrong in [
            "",
            "gateway.example.com",
            "http://gateway.example.com",
            "https://gateway.example.com/base",
            "https://gateway.example.com/?a=b",
            "https://gateway.example.com/#a",
            "https://me@gateway.example.com",
        ] {
            assert!(wrong.parse::<PublicUrl>().is_err(), "{wrong}");
        }
    }
}
