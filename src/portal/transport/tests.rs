use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;

const OK: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

fn transport() -> Transport {
    Transport::new(&Config::default()).unwrap()
}

fn address(listener: &TcpListener) -> SecretUrl {
    let port = listener.local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}/rest/1/secretcode/profile")
        .parse()
        .unwrap()
}

async fn listen() -> (TcpListener, SecretUrl) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = address(&listener);
    (listener, url)
}

fn json() -> Body {
    Body::Json(Bytes::from_static(b"{\"a\":1}"))
}

/// One whole request, as text.
async fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"{\"a\":1}") {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).await.unwrap();
        assert_ne!(read, 0, "the request ends early");
        text.extend_from_slice(&piece[..read]);
    }
    String::from_utf8(text).unwrap()
}

/// Answers requests on one connection after the other, as the texts say, and tells what was asked.
fn serve(listener: TcpListener, answers: Vec<Vec<u8>>) -> JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let mut asked = Vec::new();
        let (mut stream, _) = listener.accept().await.unwrap();
        for answer in answers {
            asked.push(request(&mut stream).await);
            stream.write_all(&answer).await.unwrap();
        }
        asked
    })
}

#[tokio::test(start_paused = true)]
async fn a_request_carries_exactly_what_the_portal_wants() {
    let (listener, url) = listen().await;
    let served = serve(listener, vec![OK.to_vec()]);
    let answer = transport().post(&url, json()).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    assert_eq!(answer.content_type.as_deref(), Some("application/json"));
    let asked = served.await.unwrap().remove(0).to_ascii_lowercase();
    assert!(
        asked.starts_with("post /rest/1/secretcode/profile http/1.1\r\n"),
        "{asked}"
    );
    let agent = concat!(
        "user-agent: bitrix24-gateway/",
        env!("CARGO_PKG_VERSION"),
        "\r\n"
    );
    let headers = [
        "content-type: application/json\r\n",
        "accept: application/json\r\n",
        agent,
    ];
    for header in headers {
        assert_eq!(asked.matches(header).count(), 1, "{header} in {asked}");
    }
    assert!(!asked.contains("accept-encoding") && !asked.contains("cookie"));
}

#[tokio::test(start_paused = true)]
async fn requests_share_a_connection() {
    let (listener, url) = listen().await;
    let served = serve(listener, vec![OK.to_vec(), OK.to_vec()]);
    let transport = transport();
    for _ in 0..2 {
        transport.clone().post(&url, json()).await.unwrap();
    }
    assert_eq!(served.await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_cannot_connect_was_not_sent() {
    let (listener, url) = listen().await;
    drop(listener);
    let failure = transport().post(&url, json()).await.unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");

    let unknown = "https://nowhere.invalid/rest/1/secretcode/profile"
        .parse()
        .unwrap();
    let failure = transport().post(&unknown, json()).await.unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
    assert!(!format!("{failure:?}").contains("secretcode"));
}

#[tokio::test]
async fn what_cannot_be_encrypted_was_not_sent() {
    let (listener, url) = listen().await;
    let url: SecretUrl = url
        .expose()
        .as_str()
        .replace("http:", "https:")
        .parse()
        .unwrap();
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        stream
    };
    let transport = transport();
    let (outcome, _stream) = tokio::join!(transport.post(&url, json()), served);
    let failure = outcome.unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_open() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"result\"",
        "nonsense\r\n\r\n",
    ] {
        let (listener, url) = listen().await;
        let served = serve(listener, vec![answer.into()]);
        let failure = transport().post(&url, json()).await.unwrap_err();
        assert!(matches!(failure, Failure::Lost(_)), "{answer}: {failure:?}");
        assert!(!format!("{failure:?} {failure}").contains("secretcode"));
        served.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_portal_is_given_up_after_its_own_limit() {
    let (listener, url) = listen().await;
    let transport = transport();
    let started = tokio::time::Instant::now();
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream
    };
    let (outcome, _stream) = tokio::join!(transport.post(&url, json()), served);
    let Err(Failure::Lost(lost)) = outcome else {
        panic!("lost, not {outcome:?}");
    };
    assert!(lost.is_timeout());
    let waited = started.elapsed().as_secs();
    assert!((65..67).contains(&waited), "{waited}");
}

/// hyper-util may put a request on a new connection when the idle one it chose is found closed before
/// anything was written. That must stay the only case: once the portal has read it, never again.
#[tokio::test]
async fn a_request_the_portal_has_read_is_never_sent_again() {
    let (listener, url) = listen().await;
    let transport = transport();
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        // The second one arrives on the reused connection and gets no answer.
        request(&mut stream).await;
        drop(stream);
        listener
    };
    let calls = async {
        transport.post(&url, json()).await.unwrap();
        transport.post(&url, json()).await
    };
    let (outcome, listener) = tokio::join!(calls, served);
    assert!(matches!(outcome, Err(Failure::Lost(_))), "{outcome:?}");
    // Had anybody come back, it would be before us in the queue.
    let us = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (_, next) = listener.accept().await.unwrap();
    assert_eq!(next, us.local_addr().unwrap());
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_nothing() {
    let (listener, url) = listen().await;
    let transport = transport();
    let served = async {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
        }
    };
    let calls = async {
        transport.post(&url, json()).await.unwrap();
        transport.post(&url, json()).await
    };
    let (outcome, ()) = tokio::join!(calls, served);
    assert_eq!(outcome.unwrap().status, 200);
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_read() {
    let config = Config {
        answer_limit: 8,
        ..Config::default()
    };
    let small = Transport::new(&config).unwrap();
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789";
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n4\r\n6789\r\n0\r\n\r\n";
    for answer in [announced, chunked] {
        let (listener, url) = listen().await;
        let served = serve(listener, vec![answer.into()]);
        let failure = small.post(&url, json()).await.unwrap_err();
        assert!(
            matches!(failure, Failure::TooLarge { limit: 8 }),
            "{failure:?}"
        );
        served.await.unwrap();
    }
    let (listener, url) = listen().await;
    let fits = chunked.replace("4\r\n6789", "3\r\n678");
    let served = serve(listener, vec![fits.into()]);
    assert_eq!(small.post(&url, json()).await.unwrap().body, "12345678");
    served.await.unwrap();
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let (listener, url) = listen().await;
    let answer = "HTTP/1.1 302 Found\r\nLocation: https://new.bitrix24.com/rest/\r\nRetry-After: 7\r\n\
        Content-Length: 0\r\n\r\n";
    let served = serve(listener, vec![answer.into()]);
    let answer = transport().post(&url, json()).await.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(
        answer.location.as_deref(),
        Some("https://new.bitrix24.com/rest/")
    );
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    served.await.unwrap();
}

#[test]
fn an_address_shows_nothing_but_its_host() {
    let url: SecretUrl = "https://acme.bitrix24.com/rest/1/secretcode/"
        .parse()
        .unwrap();
    assert_eq!(format!("{url} {url:?}").matches("secretcode").count(), 0);
    assert_eq!(url.host(), "acme.bitrix24.com");
    let call = url.method("imbot.v2.Bot.get");
    assert_eq!(call.expose().path(), "/rest/1/secretcode/imbot.v2.Bot.get");
    let moved = call.moved_to("https://new.bitrix24.com").unwrap();
    assert_eq!(
        moved.expose().as_str(),
        "https://new.bitrix24.com/rest/1/secretcode/imbot.v2.Bot.get"
    );
    assert!(call.moved_to("mailto:a@b").is_err());
    assert!("file:///etc".parse::<SecretUrl>().is_err());
}

#[test]
fn extra_certificates_must_be_certificates() {
    let with = |pem: &[u8]| {
        Transport::new(&Config {
            extra_roots: Some(pem.to_vec()),
            ..Config::default()
        })
    };
    assert!(matches!(with(b"no PEM at all"), Err(Error::NoCertificate)));
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(with(broken), Err(Error::NoCertificate)));
}
