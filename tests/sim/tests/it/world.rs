//! A portal with a few people in it, and a client that speaks HTTPS to it.

use std::sync::Arc;

use bitrix24_sim::{Chat, Config, Limits, Portal, PortalConfig, Sim, UserConfig};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(crate) const TOKEN: &str = "token-of-the-tests";

/// An answer of the portal.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Value,
    pub(crate) raw: String,
}

impl Answer {
    /// The result of a success.
    #[track_caller]
    pub(crate) fn result(&self) -> &Value {
        assert_eq!(self.status, 200, "{}", self.raw);
        assert!(self.body.get("error").is_none(), "{}", self.raw);
        &self.body["result"]
    }

    /// The code of a refusal.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        self.body["error"]
            .as_str()
            .unwrap_or_else(|| panic!("no error in {}", self.raw))
    }
}

/// Why there is no answer.
pub(crate) type Lost = Box<dyn std::error::Error + Send + Sync>;

/// Speaks to one portal, a fresh connection for each call.
#[derive(Clone)]
pub(crate) struct Client {
    tls: Option<TlsConnector>,
    port: u16,
}

impl Client {
    pub(crate) fn new(sim: &Sim, address: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(sim.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = address
            .starts_with("https")
            .then(|| TlsConnector::from(Arc::new(config)));
        let port = address.rsplit(':').next().unwrap();
        let port = port.split('/').next().unwrap().parse().unwrap();
        Self { tls, port }
    }

    /// A connection to keep, with TLS.
    pub(crate) async fn line(&self) -> Line {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = self
            .tls
            .as_ref()
            .unwrap()
            .connect(name, stream)
            .await
            .unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Line { sender }
    }

    /// Sends bytes with a method to a path, and reads whatever comes back.
    pub(crate) async fn ask(
        &self,
        verb: &str,
        path: &str,
        media: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer, Lost> {
        let request = Request::builder()
            .method(verb)
            .uri(path)
            .header("host", "portal")
            .header("content-type", media)
            .body(Full::from(body.into()))?;
        let response = self.send(request).await?;
        let raw = String::from_utf8_lossy(response.body()).into_owned();
        let location = response.headers().get("location");
        Ok(Answer {
            status: response.status().as_u16(),
            location: location.map(|value| value.to_str().unwrap().to_owned()),
            body: serde_json::from_str(&raw).unwrap_or(Value::Null),
            raw,
        })
    }

    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Lost> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let response = match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from("127.0.0.1")?;
                exchange(tls.connect(name, stream).await?, request).await?
            }
            None => exchange(stream, request).await?,
        };
        Ok(response)
    }
}

/// One connection for many requests.
pub(crate) struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Line {
    /// Calls a method with a JSON body.
    pub(crate) async fn call(&mut self, path: &str, params: &Value) -> Answer {
        let request = Request::post(path)
            .header("host", "portal")
            .header("content-type", "application/json")
            .body(Full::from(params.to_string()))
            .unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let raw = String::from_utf8_lossy(&body).into_owned();
        Answer {
            status,
            location: None,
            body: serde_json::from_str(&raw).unwrap_or(Value::Null),
            raw,
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Lost>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let running = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    running.abort();
    Ok(Response::from_parts(head, body))
}

/// A portal without limits, two people and a group chat of both.
pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) portal: Portal,
    pub(crate) anna: i64,
    pub(crate) chat: Chat,
    pub(crate) client: Client,
    pub(crate) base: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(PortalConfig {
            limits: Limits::none(),
            ..PortalConfig::default()
        })
        .await
    }

    pub(crate) async fn with(config: PortalConfig) -> Self {
        Self::within(Config::default(), config).await
    }

    pub(crate) async fn within(sim: Config, config: PortalConfig) -> Self {
        let sim = Sim::start(sim).await.unwrap();
        let portal = sim.add_portal(config).await.unwrap();
        let anna = portal.add_user(UserConfig::named("Anna", "Weber"));
        let chat = portal.add_group_chat("Support", &[1, anna]);
        let client = Client::new(&sim, &portal.address());
        let base = path_of(&portal.webhook_url());
        Self {
            sim,
            portal,
            anna,
            chat,
            client,
            base,
        }
    }

    pub(crate) fn plain_client(&self) -> Client {
        Client::new(&self.sim, &self.portal.plain_address())
    }

    pub(crate) fn dialog(&self) -> String {
        self.chat.dialog_id()
    }

    /// Calls a method with a JSON body.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Answer {
        self.post(method, "application/json", params.to_string())
            .await
    }

    /// Calls a method with a form body.
    pub(crate) async fn form(&self, method: &str, body: &str) -> Answer {
        self.post(method, "application/x-www-form-urlencoded", body.to_owned())
            .await
    }

    pub(crate) async fn post(&self, method: &str, media: &str, body: String) -> Answer {
        let path = format!("{}{method}", self.base);
        self.attempt(&path, media, body).await.unwrap()
    }

    pub(crate) async fn attempt(
        &self,
        path: &str,
        media: &str,
        body: String,
    ) -> Result<Answer, Lost> {
        let verb = if media.is_empty() { "GET" } else { "POST" };
        self.client.ask(verb, path, media, body).await
    }

    /// Calls a method and may get no answer.
    pub(crate) async fn try_call(&self, method: &str, params: Value) -> Result<Answer, Lost> {
        let path = format!("{}{method}", self.base);
        self.attempt(&path, "application/json", params.to_string())
            .await
    }

    /// Registers a bot and answers its id.
    pub(crate) async fn bot(&self, code: &str) -> i64 {
        self.bot_of(code, "bot").await
    }

    pub(crate) async fn bot_of(&self, code: &str, kind: &str) -> i64 {
        let fields = json!({"code": code, "botToken": TOKEN, "type": kind,
            "properties": {"name": "Support Bot", "lastName": "One", "workPosition": "Helper"}});
        let answer = self
            .call("imbot.v2.Bot.register", json!({"fields": fields}))
            .await;
        answer.result()["bot"]["id"].as_i64().unwrap()
    }

    /// Registers a command and answers its id.
    pub(crate) async fn command(&self, bot_id: i64, name: &str, more: Value) -> i64 {
        let mut fields = json!({"command": name, "title": {"en": name}});
        if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
            fields.extend(more);
        }
        let answer = self
            .of_bot(
                "imbot.v2.Command.register",
                bot_id,
                json!({"fields": fields}),
            )
            .await;
        answer.result()["command"]["id"].as_i64().unwrap()
    }

    /// Calls a method about a bot, with id and token.
    pub(crate) async fn of_bot(&self, method: &str, bot_id: i64, more: Value) -> Answer {
        let mut params = json!({"botId": bot_id, "botToken": TOKEN});
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        self.call(method, params).await
    }

    /// All events in a bot's log: (type, data).
    pub(crate) async fn events(&self, bot_id: i64) -> Vec<(String, Value)> {
        let answer = self
            .of_bot("imbot.v2.Event.get", bot_id, json!({"limit": 1000}))
            .await;
        let events = answer.result()["events"].as_array().unwrap().clone();
        events
            .into_iter()
            .map(|event| {
                (
                    event["type"].as_str().unwrap().to_owned(),
                    event["data"].clone(),
                )
            })
            .collect()
    }

    /// The types of all events in a bot's log, without their common beginning.
    pub(crate) async fn event_types(&self, bot_id: i64) -> Vec<String> {
        let events = self.events(bot_id).await.into_iter();
        events
            .map(|(kind, _)| kind.strip_prefix("ONIMBOTV2").unwrap().to_owned())
            .collect()
    }

    /// Forgets all events of a bot.
    pub(crate) async fn skip_events(&self, bot_id: i64) {
        if let Some(last) = self.portal.pending_events(bot_id).last() {
            self.of_bot("imbot.v2.Event.get", bot_id, json!({"offset": last + 1}))
                .await;
        }
    }
}

pub(crate) fn path_of(url: &str) -> String {
    let at = url.find("/rest/").unwrap();
    url[at..].to_owned()
}
