//! A browser of the barest kind: one request, one connection, and everything that came back.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// The names of all headers, in lower case.
    pub(crate) fn headers(&self) -> Vec<String> {
        let lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        let mut names: Vec<_> = lines.map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        names
    }

    /// Reads one; `None` when the connection ended without.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }
}

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Sends these bytes and reads until the connection ends.
pub(crate) async fn raw<S>(mut stream: S, bytes: &[u8]) -> Option<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Who is turned away early may find that nobody reads any more.
    let _sent = stream.write_all(bytes).await;
    let mut received = Vec::new();
    let _ended = stream.read_to_end(&mut received).await;
    Answer::read(&received)
}

pub(crate) async fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Answer {
    let request = request("GET", target, headers, "");
    raw(connect(address).await, request.as_bytes())
        .await
        .unwrap()
}

pub(crate) async fn post(address: SocketAddr, target: &str, media: &str, body: &str) -> Answer {
    let request = request("POST", target, &[("content-type", media)], body);
    raw(connect(address).await, request.as_bytes())
        .await
        .unwrap()
}

pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: gateway.test\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    if method == "POST" {
        request += &format!("content-length: {}\r\n", body.len());
    }
    request + "\r\n" + body
}
