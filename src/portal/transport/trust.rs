//! Whose certificates are trusted, and whose was not.
//!
//! The usual verifier of rustls decides; this one only tells who issued what it refuses, since whoever
//! reads along between us and a portal has issued its certificate.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError,
    RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tracing::warn;
use webpki::EndEntityCert;

use super::Error;

/// Longest name of an issuer that is told, characters.
const LONGEST: usize = 100;

/// The types of a name that are told: `O` and `CN` (RFC 4519), as DER has them.
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Tags of DER.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// Texts that are ASCII or UTF-8.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// A certificate was issued by somebody who is not trusted.
#[derive(Debug)]
pub(super) struct Untrusted {
    /// By whom, as far as that can be told.
    pub(super) issuer: Option<String>,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.issuer {
            Some(issuer) => write!(
                f,
                "the certificate was issued by `{issuer}`, which is not trusted"
            ),
            None => f.write_str("the certificate was issued by somebody who is not trusted"),
        }
    }
}

impl std::error::Error for Untrusted {}

/// TLS as portals are called: the public authorities and these.
pub(super) fn tls(extra_roots: Option<&[u8]>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(pem) = extra_roots {
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(Error::Certificates)?;
            // The bundles of systems hold some that nobody can use.
            match roots.add(certificate) {
                Ok(()) => found = true,
                Err(error) => warn!(%error, "a certificate to trust cannot be used"),
            }
        }
        if !found {
            return Err(Error::NoCertificate);
        }
    }
    let provider = Arc::new(ring::default_provider());
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| Error::Tls(rustls::Error::General(error.to_string())))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Telling(usual)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Decides as the usual one does.
#[derive(Debug)]
struct Telling(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Telling {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            // The second where somebody has the name of one that is trusted.
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => {
                let untrusted = Untrusted {
                    issuer: issuer(end_entity),
                };
                CertificateError::Other(OtherError(Arc::new(untrusted))).into()
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.0.root_hint_subjects()
    }
}

/// Who issued a certificate: the organization and the common name.
fn issuer(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let (mut names, mut organization, mut common) = (certificate.issuer(), None, None);
    while let Some((SET, set, rest)) = element(names) {
        names = rest;
        let (SEQUENCE, pair, _) = element(set)? else {
            return None;
        };
        let (OBJECT_IDENTIFIER, kind, value) = element(pair)? else {
            return None;
        };
        let (tag, text, _) = element(value)?;
        let text = TEXTS.contains(&tag).then(|| plain(text)).flatten();
        match kind {
            ORGANIZATION => organization = text,
            COMMON_NAME => common = text,
            _ => {}
        }
    }
    let parts: Vec<_> = organization.into_iter().chain(common).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The tag and the content of the first element, and what follows it. Lengths as short as names have.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => {
            let (length, rest) = rest.split_first()?;
            (usize::from(*length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// A text of a stranger, bounded and without what steers terminals.
fn plain(text: &[u8]) -> Option<String> {
    let text = str::from_utf8(text).ok()?;
    let shown = text.chars().filter(|c| !c.is_control()).take(LONGEST);
    Some(shown.collect())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair};

    use super::*;

    #[test]
    fn issuer_is_told_by_organization_and_name() {
        let long = "n".repeat(300);
        for (organization, common, told) in [
            (
                Some("Acme\u{1b} Ltd"),
                "Proxy",
                "Acme Ltd, Proxy".to_owned(),
            ),
            (None, long.as_str(), long[..LONGEST].to_owned()),
        ] {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CountryName, "DE");
            if let Some(organization) = organization {
                let kind = DnType::OrganizationName;
                params.distinguished_name.push(kind, organization);
            }
            params.distinguished_name.push(DnType::CommonName, common);
            let authority = Issuer::new(params, KeyPair::generate().unwrap());
            let subject = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let key = KeyPair::generate().unwrap();
            let certificate = subject.signed_by(&key, &authority).unwrap();
            assert_eq!(issuer(certificate.der()), Some(told));
        }
        assert_eq!(issuer(&CertificateDer::from(b"none".to_vec())), None);
    }

    #[test]
    fn element_that_is_cut_off_is_none() {
        for cut in [
            &[][..],
            &[SET],
            &[SET, 5, 1],
            &[SET, 0x82, 1],
            &[SET, 0x84, 0, 0, 0, 1, 0],
        ] {
            assert_eq!(element(cut), None, "{cut:?}");
        }
    }
}
