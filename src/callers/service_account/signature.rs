//! Checks the signatures of tokens with *ring*, which checks those of TLS as well.

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
};
use ring::signature::{self as scheme, RsaPublicKeyComponents, UnparsedPublicKey};
use signature::{Error, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    // We make no tokens.
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes this the way in which the whole process checks tokens. A second time changes nothing.
pub(super) fn install() {
    let _installed_before = PROVIDER.install_default();
}

struct ByRing {
    algorithm: Algorithm,
    key: DecodingKey,
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(ByRing {
        algorithm: *algorithm,
        key: key.clone(),
    }))
}

impl JwtVerifier for ByRing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for ByRing {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let rsa = match self.algorithm {
            Algorithm::RS256 => Some(&scheme::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => Some(&scheme::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => Some(&scheme::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => Some(&scheme::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => Some(&scheme::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => Some(&scheme::RSA_PSS_2048_8192_SHA512),
            _ => None,
        };
        let verified = match (self.key.kind(), rsa) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, Some(rsa)) => {
                let (n, e) = (digits(n), digits(e));
                RsaPublicKeyComponents { n, e }.verify(rsa, message, signature)
            }
            (DecodingKeyKind::SecretOrDer(key), None) => {
                let how: &dyn scheme::VerificationAlgorithm = match self.algorithm {
                    Algorithm::ES256 => &scheme::ECDSA_P256_SHA256_FIXED,
                    Algorithm::ES384 => &scheme::ECDSA_P384_SHA384_FIXED,
                    Algorithm::EdDSA => &scheme::ED25519,
                    // Whoever can check these can make them.
                    _ => return Err(Error::new()),
                };
                UnparsedPublicKey::new(how, key).verify(message, signature)
            }
            _ => return Err(Error::new()),
        };
        verified.map_err(|_| Error::new())
    }
}

/// A number without the zeros before it.
fn digits(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    // Made with OpenSSL: the public half of a key whose other half was thrown away, and what it signed.
    const MESSAGE: &[u8] = b"header.claims";
    const MODULUS: &str = concat!(
        "wNKUCdEaE3m6xvtxx7JFbKzdSFOnKiAG1rZqu4CBwglRQKjCVE1wXtyS_lGP7NcZ89ToXTfwsmloJJPjRpQC",
        "eeeUiKBPsx1QoV9NFFgsXAifFDUPMX_AFEe67TQRTsjx5DHXkEv6BgVoqDVCWKvww-H1q5vxLY3TLDOtQiTF",
        "vY_EbdumyNfb830vBIIIwrAi46qpTO6ovpiGpbXfYaRVQeGxa4w-Vbyn5iYnqQ1n8pChfXBW1dZBN0G5jJsS",
        "al1UM2oMN0xLY79MLfnoytghwsG8ZHBGn2Vu68gWAAWkwCkguG-akYt9wtMqARADmkG2cV1Ex34iaxlKNgD6",
        "bUbqew",
    );
    const RS256: &str = concat!(
        "o_YyVwnoxVvjttFDMIt_w_e-rAagGT3bElwbqTOP0MBthgw-oev3ju3c8GNdY0-o-qJuMxop3NT3TOYFFsv5",
        "Fx6aXpwqK5WhurUkQMa0YK4T5I1S2gV4k5q8ukgwewU1Bw8Xnq2NwW4F8t3OQg62-grh9mKJlMS6r8c05TIC",
        "fxBPo7YrBxEDYtL_Ce4xBm7IPBfR4sg3hF26kpT4-jkdM_9qTg_-Rs-Sx5YvvN12bAhsnKLS9IkUZL3s4mAA",
        "YusAfS5w_xY-0CwC-woZG0lmgpkQVJaaP8STDMaT390WjCB0lw-WqCM2vlv__E9NP4NT5ngNf0VdA4ak2E6n",
        "xvMaTg",
    );
    const PS256: &str = concat!(
        "DDEDIv2-78_GDvBogbzWjahJpkiOhkFIvHkAarCPuXmlhNrApN-Icp2sJgLeDbqw2qOKuGmYGYF_gdJtnb-p",
        "zO2PHaQ3mcf5NTdgQa-ftnDjcofDhHIfKeLUYz9yOKN96FAce-141Olt7ecbive0efMv3hyIbqrVcQIEHr-D",
        "csqgoEL35MCBkNLwQXHEfC80Sn68oi1D6ScE0TCzRcqTkjcQpd3Qk4sIicBdowk0_lZRIP7SKpL7Lj4Fgu1u",
        "tGWhKe1nhDGqa6tJkW8BoXG6LLjN6WQstTQKO4W6TMSiEuU2KJOK5AHU0aBY9WoAKwdWfVH3gVu-9Qzy83wQ",
        "0wIsNA",
    );

    fn verified(algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        let key = DecodingKey::from_rsa_components(MODULUS, "AQAB").unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        verifier(&algorithm, &key).is_ok_and(|by| by.verify(message, &signature).is_ok())
    }

    #[test]
    fn signature_of_a_known_rsa_key_is_believed_and_no_other() {
        assert!(verified(Algorithm::RS256, MESSAGE, RS256));
        assert!(verified(Algorithm::PS256, MESSAGE, PS256));
        assert!(!verified(Algorithm::RS256, b"header.claimz", RS256));
        assert!(!verified(Algorithm::RS256, MESSAGE, PS256));
        assert!(!verified(Algorithm::RS384, MESSAGE, RS256));
        for other in [Algorithm::HS256, Algorithm::ES256, Algorithm::EdDSA] {
            assert!(!verified(other, MESSAGE, RS256), "{other:?}");
        }
    }
}
