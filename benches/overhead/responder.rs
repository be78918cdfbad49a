//! A portal that costs next to nothing: the same few documented answers over HTTPS, for ever.

use std::{io, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    common::{Outcome, gateway::CA_FILE},
    roles,
};

const ANSWERED: &str = include_str!(
    "../../tests/fixtures/bitrix24/imbot.v2.Command.answer.ok-bare-true.response.json"
);
const BOT: &str = include_str!("../../tests/fixtures/bitrix24/imbot.v2.Bot.get.ok.response.json");
const NO_EVENTS: &str =
    include_str!("../../tests/fixtures/bitrix24/imbot.v2.Event.get.empty.response.json");

/// Whole answers, ready to be written.
struct Answers {
    bot: Vec<u8>,
    no_events: Vec<u8>,
    answered: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        let whole = |body: &str| {
            let length = body.len();
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n\
                 content-length: {length}\r\n\r\n{body}"
            )
            .into_bytes()
        };
        Self {
            bot: whole(BOT),
            no_events: whole(NO_EVENTS),
            answered: whole(ANSWERED),
        }
    }

    /// The answer to a request line.
    fn to(&self, line: &str) -> &[u8] {
        if line.contains("/imbot.v2.Bot.get") {
            &self.bot
        } else if line.contains("/imbot.v2.Event.get") {
            &self.no_events
        } else {
            &self.answered
        }
    }
}

/// Answers until killed.
pub(crate) async fn run(folder: &Path) -> Outcome<()> {
    let acceptor = TlsAcceptor::from(Arc::new(certified(&folder.join(CA_FILE))?));
    let answers = Arc::new(Answers::new());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    roles::tell(&listener.local_addr()?.to_string());
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, answers) = (acceptor.clone(), Arc::clone(&answers));
        tokio::spawn(async move {
            // What breaks here fails the call over there, which is told.
            let _ended = serve(stream, &acceptor, &answers).await;
        });
    }
}

/// One connection, kept alive.
async fn serve(stream: TcpStream, acceptor: &TlsAcceptor, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut read = Vec::with_capacity(16 << 10);
    loop {
        let body = loop {
            if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&read[..body]);
        let answer = answers.to(head.lines().next().unwrap_or_default());
        let end = body + body_length(&head)?;
        while read.len() < end {
            if stream.read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        read.drain(..end);
        stream.write_all(answer).await?;
        stream.flush().await?;
    }
}

fn body_length(head: &str) -> io::Result<usize> {
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    length.ok_or_else(|| io::Error::other("a request without a length"))
}

/// An authority made for this run, whose certificate is written down, and what it signs.
fn certified(ca_file: &Path) -> Outcome<ServerConfig> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    std::fs::write(ca_file, params.self_signed(&key)?.pem())?;
    let authority = Issuer::new(params, key);

    let key = KeyPair::generate()?;
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?,
    )
}
