//! What stood in the way of a request, for whoever has to clear it away.

use std::{error::Error as StdError, io};

use rustls::CertificateError;

use super::{
    Failure,
    names::{NoHost, NotPublic},
    trust::Untrusted,
};

/// What stood in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The host's name leads nowhere.
    NoHost,
    /// The host's name leads to a private address.
    NotPublic,
    /// Nobody takes the connection.
    NobodyThere,
    /// It took too long.
    TooSlow,
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate belongs to another host.
    OtherName,
    /// The certificate is of an issuer that is not trusted: who that is, if it can be told.
    UnknownIssuer(Option<String>),
    /// No encrypted connection came about for another reason.
    Tls,
    /// Something else.
    Other,
}

impl Failure {
    /// What stood in the way.
    #[must_use]
    pub fn obstacle(&self) -> Obstacle {
        let (Self::NotSent(lost) | Self::Lost(lost)) = self else {
            return Obstacle::Other;
        };
        let mut next: Option<&(dyn StdError + 'static)> = Some(lost.0.as_ref());
        while let Some(error) = next {
            if let Some(found) = of(error) {
                return found;
            }
            next = inner(error);
        }
        if lost.is_timeout() {
            return Obstacle::TooSlow;
        }
        Obstacle::Other
    }
}

/// The error that one wraps; those of the system hide theirs.
fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn of(error: &(dyn StdError + 'static)) -> Option<Obstacle> {
    if error.is::<NotPublic>() {
        return Some(Obstacle::NotPublic);
    }
    if error.is::<NoHost>() {
        return Some(Obstacle::NoHost);
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(match error {
            rustls::Error::InvalidCertificate(error) => certificate(error),
            _ => Obstacle::Tls,
        });
    }
    match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Some(Obstacle::NobodyThere),
        io::ErrorKind::TimedOut => Some(Obstacle::TooSlow),
        _ => None,
    }
}

fn certificate(error: &CertificateError) -> Obstacle {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Obstacle::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Obstacle::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Obstacle::OtherName
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<Untrusted>() {
            Some(untrusted) => Obstacle::UnknownIssuer(untrusted.issuer.clone()),
            None => Obstacle::Tls,
        },
        _ => Obstacle::Tls,
    }
}
