//! A world, and somebody who looks at its page.

use std::time::Duration;

use bitrix24_sim::{ChangeDelivery, ChatPage};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{Client, World};

/// A world, and its open page.
pub(crate) struct Seen {
    pub(crate) world: World,
    pub(crate) page: ChatPage,
    client: Client,
}

impl Seen {
    pub(crate) async fn new() -> Self {
        Self::with(None).await
    }

    pub(crate) async fn with(delivery: Option<ChangeDelivery>) -> Self {
        let world = World::new().await;
        let any = "127.0.0.1:0".parse().unwrap();
        let page = world
            .sim
            .open_chat(&world.portal, any, delivery)
            .await
            .unwrap();
        let client = Client::new(&world.sim, page.url().trim_end_matches('/'));
        Self {
            world,
            page,
            client,
        }
    }

    pub(crate) fn host(&self) -> String {
        let url = self.page.url();
        url.trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned()
    }

    /// What is answered to a request with these headers.
    pub(crate) async fn send(
        &self,
        verb: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(verb).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        self.client.send(request).await.unwrap()
    }

    /// What the page itself is answered.
    pub(crate) async fn ask(&self, verb: &str, path: &str, body: &Value) -> (u16, Value) {
        let host = self.host();
        let origin = format!("http://{host}");
        let headers = [
            ("host", host.as_str()),
            ("origin", &origin),
            ("content-type", "application/json"),
            ("sec-fetch-site", "same-origin"),
        ];
        let body = if verb == "GET" {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self.send(verb, path, &headers, body).await;
        let read = serde_json::from_slice(answer.body()).unwrap_or_default();
        (answer.status().as_u16(), read)
    }

    /// What is pushed to somebody who looks at a dialog.
    pub(crate) async fn watch(&self, user: i64, dialog: &str) -> Pushes {
        let host = self.host();
        let mut stream = TcpStream::connect(&host).await.unwrap();
        let asked = format!(
            "GET /events?user={user}&dialog={dialog}&language=de HTTP/1.1\r\nhost: {host}\r\n\r\n"
        );
        stream.write_all(asked.as_bytes()).await.unwrap();
        Pushes(BufReader::new(stream).lines())
    }
}

/// Pushes as they come.
pub(crate) struct Pushes(Lines<BufReader<TcpStream>>);

impl Pushes {
    /// The next push that this is found in.
    pub(crate) async fn until<T>(&mut self, found: impl Fn(&Value) -> Option<T>) -> T {
        let seeking = async {
            loop {
                let line = self
                    .0
                    .next_line()
                    .await
                    .unwrap()
                    .expect("the stream goes on");
                if let Some(data) = line.strip_prefix("data: ")
                    && let Some(found) = found(&serde_json::from_str(data).unwrap())
                {
                    return found;
                }
            }
        };
        timeout(Duration::from_secs(60), seeking)
            .await
            .expect("it is pushed")
    }

    pub(crate) async fn message(&mut self, id: i64) -> Value {
        let found = |push: &Value| {
            let changed = push["messages"]["changed"].as_array()?;
            changed.iter().find(|message| message["id"] == id).cloned()
        };
        self.until(found).await
    }
}
