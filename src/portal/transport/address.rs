//! An address that must not show.

use std::{fmt, str::FromStr};

use url::{ParseError, Url};

/// An address that is a secret: the path of a webhook holds its code. Shows only its host.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// The whole address. For sending it only.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// The host, which is no secret.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Scheme, host and port, which are no secret.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Host and port, which are no secret.
    #[must_use]
    pub fn place(&self) -> String {
        let port = self.0.port_or_known_default();
        format!("{}:{}", self.host(), port.unwrap_or_default())
    }

    /// The address of a method below this base.
    #[must_use]
    pub fn method(&self, name: &str) -> Self {
        let mut url = self.0.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{name}"));
        Self(url)
    }

    /// The same address at another origin, such as the one a moved portal names.
    ///
    /// # Errors
    /// When `origin` is no address with a host.
    pub fn moved_to(&self, origin: &str) -> Result<Self, ParseError> {
        let mut url: Url = origin.parse()?;
        if !url.has_host() {
            return Err(ParseError::EmptyHost);
        }
        url.set_path(self.0.path());
        url.set_query(self.0.query());
        Ok(Self(url))
    }
}

impl FromStr for SecretUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.parse::<Url>()?.try_into()
    }
}

impl TryFrom<Url> for SecretUrl {
    type Error = ParseError;

    fn try_from(url: Url) -> Result<Self, ParseError> {
        if url.has_host() {
            Ok(Self(url))
        } else {
            Err(ParseError::EmptyHost)
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({}://{}/…)", self.0.scheme(), self.host())
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", self.0.scheme(), self.host())
    }
}
