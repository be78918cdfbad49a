//! Our application, and the portals that it is installed in.

use std::{collections::BTreeMap, path::PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Error, invalid, listed, read};
use crate::{
    ids::PortalId,
    portal::{Access, Application, ServerName, Servers},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOAuth {
    client_id: String,
    client_secret: SecretString,
    client_secret_file: PathBuf,
    hosts: String,
}

impl RawOAuth {
    /// The file of its secret; empty for none.
    pub(super) fn client_secret_file(&self) -> &PathBuf {
        &self.client_secret_file
    }

    /// Our application, if there is one.
    pub(super) fn application(&self) -> Result<Option<Application>, Error> {
        let servers = self.servers()?;
        let secret = self.secret()?;
        match (self.client_id.is_empty(), secret) {
            (true, None) => Ok(None),
            (false, Some(client_secret)) => Ok(Some(Application {
                client_id: self.client_id.clone(),
                client_secret,
                servers,
            })),
            (true, Some(_)) => Err(invalid(
                "oauth.client_id",
                "is missing beside the client secret",
            )),
            (false, None) => Err(invalid(
                "oauth.client_id",
                "is given without `oauth.client_secret` or `oauth.client_secret_file`",
            )),
        }
    }

    fn secret(&self) -> Result<Option<SecretString>, Error> {
        let key = "oauth.client_secret_file";
        let inline = self.client_secret.expose_secret();
        if self.client_secret_file.as_os_str().is_empty() {
            return Ok((!inline.is_empty()).then(|| self.client_secret.clone()));
        }
        if !inline.is_empty() {
            let rule = "is given beside `oauth.client_secret`: one of them is enough";
            return Err(invalid(key, rule));
        }
        let text = read(key, &self.client_secret_file)?;
        match text.lines().next().unwrap_or_default().trim() {
            "" => Err(invalid(key, "names a file whose first line is empty")),
            line => Ok(Some(line.into())),
        }
    }

    fn servers(&self) -> Result<Servers, Error> {
        let key = "oauth.hosts";
        let names = listed(&self.hosts).map(|name| {
            let wrong = |rule| invalid(key, format!("holds \"{name}\", which {rule}"));
            name.parse::<ServerName>().map_err(wrong)
        });
        let names: Vec<_> = names.collect::<Result<_, _>>()?;
        Servers::new(names).ok_or_else(|| invalid(key, "must name at least one host"))
    }
}

/// Sees that the `member_id` of a portal can be one, and that no other portal has it.
pub(super) fn check_member(
    portal: &str,
    member: &str,
    others: &BTreeMap<PortalId, Access>,
    has_application: bool,
) -> Result<(), Error> {
    let key = format!("{portal}.member_id");
    if member.parse::<PortalId>().is_err() {
        let rule = "must be 1 to 64 characters of a-z, 0-9, `-`, `_` and `.`, as Bitrix24 shows it";
        return Err(invalid(&key, rule));
    }
    if !has_application {
        let rule = "needs an application: set `oauth.client_id` and `oauth.client_secret`";
        return Err(invalid(&key, rule));
    }
    let same = |access: &Access| matches!(access, Access::OAuth(other) if other == member);
    if let Some((other, _)) = others.iter().find(|(_, access)| same(access)) {
        return Err(invalid(&key, format!("is that of `portals.{other}` too")));
    }
    Ok(())
}
