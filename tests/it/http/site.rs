//! A gateway that can be reached over HTTP, and a portal whose application leads there.

use std::{net::SocketAddr, time::Duration};

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::{ApplicationConfig, Portal, PortalConfig, TokenPair};
use tokio::time::sleep;

use super::{
    browser::{self, Answer},
    door::LISTEN,
};
use crate::oauth::stage::{CLIENT, SECRET, Stage};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// The configured portal `acme` with an application that nobody installed yet.
pub(crate) struct Site {
    pub(crate) stage: Stage,
    pub(crate) address: SocketAddr,
}

impl Site {
    /// Of an application that uses the API only: it is told by callbacks.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(settings: &[(&'static str, &str)]) -> Self {
        let settings = [&LISTEN[..], settings].concat();
        let stage = Stage::not_installed(&settings).await;
        let site = Self {
            address: stage.scene.http(),
            stage,
        };
        site.known_in(site.portal(), false);
        // Whatever callback there is, it comes to us.
        let all = |quirks: &mut bitrix24_sim::Quirks| quirks.callbacks_need_binding = false;
        site.portal().set_quirks(all);
        site
    }

    /// Of an application with a page, and no callbacks.
    pub(crate) async fn with_page() -> Self {
        let site = Self::new().await;
        site.known_in(site.portal(), true);
        site
    }

    pub(crate) fn portal(&self) -> &Portal {
        &self.stage.scene.portal
    }

    /// Makes the application known to a portal: one that has a page, or hears of callbacks.
    pub(crate) fn known_in(&self, portal: &Portal, page: bool) {
        let at = |path: &str| Some(format!("http://{}{path}", self.address));
        let _client_id = portal.add_application(ApplicationConfig {
            client_id: Some(CLIENT.to_owned()),
            client_secret: Some(SECRET.to_owned()),
            handler_url: at("/bitrix24/events").filter(|_| !page),
            page_url: at("/bitrix24/app").filter(|_| page),
            redirect_url: at("/oauth/callback"),
            ..ApplicationConfig::default()
        });
    }

    /// Another portal, of people who are not our friends, with the same application.
    pub(crate) async fn another(&self) -> Portal {
        let portal = self
            .stage
            .scene
            .sim
            .add_portal(PortalConfig::default())
            .await;
        let portal = portal.unwrap();
        portal.rename_to("b.portal.test").await.unwrap();
        // Its callbacks go nowhere.
        let _client_id = crate::oauth::stage::known_in(&portal);
        portal
    }

    /// Somebody installs the application, and we are told.
    pub(crate) async fn install(&self, user_id: i64) -> TokenPair {
        let tokens = self.portal().install(CLIENT, user_id).unwrap();
        self.settle().await;
        tokens
    }

    /// The same, but the callback gets lost.
    pub(crate) fn install_unheard(&self, user_id: i64) -> TokenPair {
        self.portal().hold_deliveries();
        let tokens = self.portal().install(CLIENT, user_id).unwrap();
        self.portal().release_deliveries(false, 0);
        tokens
    }

    /// Until whatever was begun has ended.
    pub(crate) async fn settle(&self) {
        sleep(Duration::from_secs(60)).await;
    }

    pub(crate) async fn shown(&self) -> pb::Portal {
        self.stage.shown("acme").await
    }

    /// Whether there are tokens, and whose.
    pub(crate) async fn user(&self) -> Option<i64> {
        self.shown().await.user_id
    }

    /// The `auth` of a callback that brings these tokens.
    pub(crate) fn auth(&self, portal: &Portal, tokens: &TokenPair) -> Vec<(String, String)> {
        let proof = portal.application(CLIENT).unwrap().application_token;
        let domain = domain(portal);
        [
            ("access_token", tokens.access_token.clone()),
            ("refresh_token", tokens.refresh_token.clone()),
            ("expires_in", "3600".to_owned()),
            ("scope", "im imbot user".to_owned()),
            ("domain", domain.clone()),
            ("client_endpoint", format!("https://{domain}/rest/")),
            ("server_endpoint", self.server_endpoint()),
            ("status", "L".to_owned()),
            ("member_id", portal.member_id()),
            ("application_token", proof),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    pub(crate) fn server_endpoint(&self) -> String {
        format!("{}/rest/", self.stage.scene.sim.oauth().address())
    }

    /// Posts a callback, as anybody can.
    pub(crate) async fn tell(&self, event: &str, auth: &[(String, String)]) -> Answer {
        self.tell_with(event, &[("VERSION", "1"), ("CLEAN", "1")], auth)
            .await
    }

    pub(crate) async fn tell_with(
        &self,
        event: &str,
        data: &[(&str, &str)],
        auth: &[(String, String)],
    ) -> Answer {
        let mut form = vec![("event".to_owned(), event.to_owned())];
        form.extend(
            data.iter()
                .map(|(k, v)| (format!("data[{k}]"), (*v).to_owned())),
        );
        form.extend(auth.iter().map(|(k, v)| (format!("auth[{k}]"), v.clone())));
        let answer = browser::post(self.address, "/bitrix24/events", FORM, &encoded(&form)).await;
        self.settle().await;
        answer
    }

    /// Opens the page of the application, as a browser in the portal does.
    pub(crate) async fn open(&self, portal: &Portal, tokens: &TokenPair) -> Answer {
        let (query, body) = self.frame(portal, tokens);
        self.open_with(&query, &body).await
    }

    pub(crate) async fn open_with(
        &self,
        query: &[(String, String)],
        body: &[(String, String)],
    ) -> Answer {
        let target = format!("/bitrix24/app?{}", encoded(query));
        browser::post(self.address, &target, FORM, &encoded(body)).await
    }

    /// Query and body of the frame.
    pub(crate) fn frame(&self, portal: &Portal, tokens: &TokenPair) -> (Fields, Fields) {
        let proof = portal.application(CLIENT).unwrap().application_token;
        let own = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let query = own(&[
            ("DOMAIN", &domain(portal)),
            ("PROTOCOL", "1"),
            ("LANG", "en"),
            ("APP_SID", "0123456789abcdef"),
        ]);
        let body = own(&[
            ("AUTH_ID", &tokens.access_token),
            ("AUTH_EXPIRES", "3600"),
            ("REFRESH_ID", &tokens.refresh_token),
            ("SERVER_ENDPOINT", &self.server_endpoint()),
            ("APPLICATION_TOKEN", &proof),
            ("APPLICATION_SCOPE", "im,imbot,user"),
            ("member_id", &portal.member_id()),
            ("status", "L"),
            ("PLACEMENT", "DEFAULT"),
        ]);
        (query, body)
    }
}

pub(crate) type Fields = Vec<(String, String)>;

/// The same fields, with one changed, or without it.
pub(crate) fn with(fields: &[(String, String)], name: &str, value: Option<&str>) -> Fields {
    let mut fields = fields.to_vec();
    fields.retain(|(known, _)| known != name);
    fields.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    fields
}

/// Host and port of a portal.
pub(crate) fn domain(portal: &Portal) -> String {
    portal.address().replace("https://", "")
}

pub(crate) fn encoded(fields: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}
