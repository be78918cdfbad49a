//! A whole gateway within the test, with a simulated portal behind it.

use std::{net::SocketAddr, path::Path};

use bitrix24_gateway::{
    app::App,
    callers::TokenHash,
    clock::Clock,
    config::{Config, Flags, Sources},
    lifecycle::Lifecycle,
};
use bitrix24_sim::{Limits, PortalConfig, Sim};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A gateway that runs.
pub(crate) struct Gateway {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    life: Lifecycle,
    running: JoinHandle<()>,
    _sim: Sim,
}

impl Gateway {
    /// With this configuration file, which is made when its folder is there.
    pub(crate) async fn of(file: impl FnOnce(&Path) -> String) -> Self {
        let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
        let portal = sim.add_portal(PortalConfig {
            limits: Limits::none(),
            ..PortalConfig::default()
        });
        let portal = portal.await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("ca.pem"), sim.ca_pem()).unwrap();
        std::fs::write(path("config.toml"), file(folder.path())).unwrap();
        let settings = [
            ("webhook_url", portal.webhook_url()),
            ("grpc.listen", "127.0.0.1:0".to_owned()),
            ("admin.listen", String::new()),
            ("store.dir", path("store")),
            ("store.key_file", path("keys")),
            ("outbound.ca_file", path("ca.pem")),
            ("rate.requests_per_second", "0".to_owned()),
        ];
        let config = Config::load(&Sources {
            file: Some(folder.path().join("config.toml")),
            flags: Flags(settings.into()),
            ..Sources::default()
        });
        let app = App::build(config.unwrap(), Clock::system()).await.unwrap();
        Self {
            life: app.lifecycle().clone(),
            address: app.address(),
            running: tokio::spawn(async { app.run().await.unwrap() }),
            folder,
            _sim: sim,
        }
    }

    pub(crate) async fn stop(self) {
        self.life.begin_stop();
        self.running.await.unwrap();
    }
}

/// The token of a caller in these tests.
pub(crate) fn token(name: &str) -> String {
    format!("b24gw_{name}-0123456789abcdefghijklmnopqrstuvwxyz")
}

/// A caller's part of the configuration file, by token.
pub(crate) fn caller(name: &str, rpcs: &str) -> String {
    let hash = TokenHash::of(&token(name));
    format!(
        "[callers.{name}]\ntoken_sha256 = [\"{hash}\"]\n{}\n",
        everything(rpcs)
    )
}

/// The terms of a caller that may use these RPCs for everything.
pub(crate) fn everything(rpcs: &str) -> String {
    format!("portals = [\"*\"]\nbots = [\"*\"]\nrpcs = [\"{rpcs}\"]")
}

/// Vouches for certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Writes its own certificate to `NAME.ca`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.ca")), &self.pem).unwrap();
    }

    /// Writes a certificate to `NAME.pem` and its key to `NAME.key`.
    pub(crate) fn certify(&self, folder: &Path, name: &str, subject: &str) {
        let mut params = CertificateParams::default();
        let subject = subject.to_owned();
        params.subject_alt_names = vec![if subject.contains(':') {
            SanType::URI(subject.try_into().unwrap())
        } else {
            SanType::DnsName(subject.try_into().unwrap())
        }];
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        std::fs::write(folder.join(format!("{name}.pem")), pem).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
