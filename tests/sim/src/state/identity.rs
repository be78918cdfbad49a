//! What a portal is called, by itself and by others.

/// Names and addresses of a portal.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// In its simulation.
    pub(crate) number: u32,
    /// The name that never changes (C2).
    pub(crate) member_id: String,
    /// Host and port.
    pub(crate) domain: String,
    /// Host and port of the authorization server, as it calls itself.
    pub(crate) oauth_domain: String,
    /// Where the authorization server really is: `https://host:port`.
    pub(crate) oauth_address: String,
}

impl Identity {
    /// The base address of REST.
    pub(crate) fn client_endpoint(&self) -> String {
        format!("https://{}/rest/", self.domain)
    }

    /// The base address of REST at the authorization server.
    pub(crate) fn server_endpoint(&self) -> String {
        format!("{}/rest/", self.oauth_address)
    }
}
