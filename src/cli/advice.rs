//! What to try where something is wrong, for whoever reads it at a terminal. The errors themselves say only what
//! is wrong, since callers and logs are told it as well; those of settings name the setting and its rule.

use std::{error::Error, fmt};

use super::Trouble;
use crate::{admin, app, grpc, http, store, tls};

/// An error, and what to try.
#[derive(Debug)]
pub(super) struct Advised<'a>(
    pub(super) &'a (dyn Error + 'static),
    pub(super) &'static str,
);

impl fmt::Display for Advised<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            "" => write!(f, "{}", self.0),
            advice => write!(f, "{}; {advice}", self.0),
        }
    }
}

impl Error for Advised<'_> {}

/// What to try where the gateway does not start, or broke off.
pub(super) fn of_gateway(error: &app::Error) -> &'static str {
    match error {
        app::Error::Store(error) => of_store(error),
        app::Error::Door(grpc::Error::Listen(..)) => {
            "end what listens there, or name another address with --listen"
        }
        app::Error::Door(grpc::Error::Socket(..)) => "name another path in `grpc.socket`",
        app::Error::Door(grpc::Error::Tls(error)) | app::Error::Http(http::Error::Tls(error)) => {
            of_certificates(error)
        }
        app::Error::Http(http::Error::Listen(..)) => {
            "end what listens there, or name another address in `http.listen`"
        }
        app::Error::Lookout(_) => {
            "end what listens there, or name another address in `admin.listen`; empty is none"
        }
        app::Error::Admin { .. } => "name another path in `admin.socket`; empty is none",
        app::Error::Transport(_) => "name a file with certificates (PEM), or none",
        app::Error::Otlp(_) => "`defaults` tells what can stand there",
        app::Error::Bots(_) => "`store check` looks it over",
        // Whatever starts it does so again, and the log before says more.
        app::Error::Serve(_)
        | app::Error::Writer
        | app::Error::Panicked(_)
        | app::Error::Broken(_) => "",
        // They say it themselves.
        app::Error::Settings(_)
        | app::Error::Callers(_)
        | app::Error::Telemetry(_)
        | app::Error::Measurements(_) => "",
    }
}

/// What to try where a command that keeps a gateway failed.
pub(super) fn of_keeping(error: &Trouble) -> &'static str {
    match error {
        Trouble::Store(error) | Trouble::Admin(admin::Error::Store(error)) => of_store(error),
        Trouble::Admin(admin::Error::NoAnswer { .. }) => {
            "run this as the same user with the same `admin.socket`, or stop it first"
        }
        Trouble::Input(_) => "put what is asked for into a file, and `< FILE` behind the command",
        Trouble::Randomless(_) => "try again when the machine has started up",
        Trouble::Config(_) | Trouble::Transport(_) | Trouble::Admin(_) => "",
    }
}

fn of_certificates(error: &tls::Error) -> &'static str {
    match error {
        tls::Error::File(..) => "name a file that the gateway's user may read",
        _ => "name a certificate with its key, both as PEM",
    }
}

fn of_store(error: &store::Error) -> &'static str {
    use store::Error as E;
    match error {
        E::Locked { .. } => "stop that one first, or name another folder with --store",
        E::TakenOver { .. } => "see to it that only one gateway works with it",
        E::NotWritable { .. } => {
            "make room, let this user write there, or name another folder with --store and another `store.key_file`"
        }
        E::NotReadable { .. } => "name a file or folder that this user may read",
        E::NotAStore { .. } => "name another folder with --store",
        E::Newer { .. } => "use that release, or restore a backup of this one",
        E::NoStore { .. } => "name its folder with --store or --config; `serve` makes one",
        E::DiskFull { .. } => "make room on its disk",
        E::BadRow { .. } | E::Sealed { .. } | E::Sqlite { .. } => {
            "`store check` looks it over, `store restore` makes one of a backup"
        }
        E::Unopened { .. } => "put the keys into the key file that were in use when it was made",
        E::Keys(_) => "name the file with the keys of this store in `store.key_file`",
        E::WrongKeys { .. } => "put your copy of the key file in its place",
        E::Closed | E::BrokeOff => "try again",
        E::UnknownBot { .. } => "register it",
        // They say it themselves.
        E::SharedFileSystem { .. }
        | E::Damaged { .. }
        | E::StoreExists { .. }
        | E::Exists { .. }
        | E::NotWhole { .. }
        | E::KeysAreText
        | E::KeyInUse { .. }
        | E::UnknownKey { .. } => "",
    }
}
