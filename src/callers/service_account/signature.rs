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
