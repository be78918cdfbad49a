//! The pages in a real browser, which knows policies better than we do. Run by `.ci/pages`, on the
//! clock of the machine.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bitrix24_sim::{ApplicationConfig, Portal};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    process::Command,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    browser,
    site::{Site, with},
};
use crate::oauth::stage::CLIENT;

/// In place of the script of Bitrix24: tells the page around the frame what the frame asked for.
const SCRIPT: &str = "window.BX24 = {init: (ready) => ready(), \
    installFinish: () => parent.postMessage('finished: ' + document.title, '*')};";

/// What a small server has to offer.
type Content = Arc<dyn Fn(&str) -> (&'static str, String) + Send + Sync>;

/// What `.ci/pages` has found or installed.
#[expect(
    clippy::disallowed_methods,
    reason = "where the tools of a test are is no setting of the gateway"
)]
pub(super) fn tool(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    path.unwrap_or_else(|| panic!("{variable} is not set: run .ci/pages"))
}

/// Serves pages over TLS, with a certificate of nobody's. The port.
async fn serve(content: Content) -> u16 {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, content) = (tls.clone(), Arc::clone(&content));
            tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    answer(stream, &content).await;
                }
            });
        }
    });
    port
}

/// One request, one answer.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, content: &Content) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (media, body) = content(path);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    // A browser that left wants nothing more.
    let _sent = stream.write_all((head + &body).as_bytes()).await;
    let _ended = stream.shutdown().await;
}

/// What a browser makes of a page, with these names at these ports of this machine.
async fn look(url: &str, names: &[(&str, u16)]) -> String {
    look_with(url, names, &[]).await
}

/// The same with further arguments.
pub(super) async fn look_with(url: &str, names: &[(&str, u16)], more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let names = names
        .iter()
        .map(|(name, port)| format!("MAP {name} 127.0.0.1:{port}"));
    let mut names: Vec<_> = names.collect();
    // Nothing else is asked for, on whatever network.
    names.push("MAP * ~NOTFOUND, EXCLUDE 127.0.0.1".to_owned());
    let mut command = Command::new(tool("GATEWAY_CHROMIUM"));
    command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
        .args([
            "--ignore-certificate-errors",
            "--disable-background-networking",
        ])
        // In one process frames are waited for as the page is.
        .args(["--disable-site-isolation-trials"])
        .args(["--virtual-time-budget=15000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().display()))
        .arg(format!("--host-resolver-rules={}", names.join(", ")))
        .args(more)
        .arg(url)
        .kill_on_drop(true);
    let ran = timeout(Duration::from_secs(120), command.output()).await;
    let output = ran.expect("the browser ends").unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let dom = String::from_utf8(output.stdout).unwrap();
    assert!(dom.contains("<html"), "{errors}");
    dom
}

fn port(portal: &Portal) -> u16 {
    portal
        .address()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// The page of the portal around the application, as whoever is signed in sees it.
async fn open(site: &Site) -> String {
    let script = serve(Arc::new(|_| ("text/javascript", SCRIPT.to_owned()))).await;
    let address = site.portal().address();
    let url = format!("{address}/marketplace/app/{CLIENT}/");
    let names = [
        ("a.portal.test", port(site.portal())),
        ("api.bitrix24.com", script),
    ];
    look(&url, &names).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser: run .ci/pages"]
async fn browser_in_the_portal_finishes_the_installation_once() {
    let site = Site::with_page().await;
    site.portal().install(CLIENT, 1).unwrap();
    let dom = open(&site).await;
    assert!(
        dom.contains("finished: The application is connected"),
        "{dom}"
    );
    assert_eq!(site.user().await, Some(1));
    site.portal().finish_install(CLIENT).unwrap();
    for user in [1, site.stage.scene.anna] {
        site.portal().sign_in(user);
        let dom = open(&site).await;
        assert!(
            dom.contains("<iframe") && !dom.contains("finished"),
            "{dom}"
        );
        assert_eq!(site.user().await, Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser: run .ci/pages"]
async fn browser_shows_the_page_in_the_frame_of_its_portal_only() {
    let site = Site::with_page().await;
    let tokens = site.portal().install(CLIENT, 1).unwrap();
    let (query, body) = site.frame(site.portal(), &tokens);
    let inputs = body
        .iter()
        .map(|(name, value)| format!("<input type=hidden name={name} value=\"{value}\">"));
    let form = format!(
        "<!DOCTYPE html><form method=post target=app action=\"http://{}/bitrix24/app?{}\">{}</form>\
         <iframe name=app></iframe><pre></pre><script>\
         onmessage = (event) => {{ document.querySelector('pre').textContent += event.data; }};\
         document.forms[0].submit();</script>",
        site.address,
        super::site::encoded(&query),
        inputs.collect::<String>()
    );
    let script = serve(Arc::new(|_| ("text/javascript", SCRIPT.to_owned()))).await;
    let around = serve(Arc::new(move |_| ("text/html", form.clone()))).await;
    // The same page, around it the portal's own name and a stranger's, even one of the same zone.
    let at = port(site.portal());
    for (name, shown) in [
        ("a.portal.test", true),
        ("evil.test", false),
        ("b.portal.test", false),
    ] {
        let url = format!("https://{name}:{at}/");
        let dom = look(&url, &[(name, around), ("api.bitrix24.com", script)]).await;
        assert_eq!(dom.contains("finished: "), shown, "{name}: {dom}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser: run .ci/pages"]
async fn pages_can_be_used_by_everybody() {
    let site = Site::with_page().await;
    let tokens = site.portal().install(CLIENT, 1).unwrap();
    let anna = site
        .portal()
        .issue_tokens(CLIENT, site.stage.scene.anna)
        .unwrap();
    let other = site.portal().add_application(ApplicationConfig::default());
    let other = site.portal().install(&other, 1).unwrap();
    let (query, body) = site.frame(site.portal(), &tokens);
    let (_, anna) = site.frame(site.portal(), &anna);
    let (_, other) = site.frame(site.portal(), &other);
    let mut pages = Vec::new();
    for language in ["en", "de", "ru"] {
        let query = with(&query, "LANG", Some(language));
        let server = with(&body, "SERVER_ENDPOINT", Some("https://evil.org/"));
        for body in [&body, &anna, &other, &server, &Vec::new()] {
            pages.push(site.open_with(&query, body).await.body);
        }
        for target in ["/oauth/start", "/oauth/callback"] {
            let wanted = [("accept-language", language)];
            pages.push(browser::get(site.address, target, &wanted).await.body);
        }
    }
    site.portal().finish_install(CLIENT).unwrap();
    pages.push(site.open_with(&query, &body).await.body);
    let axe = std::fs::read_to_string(tool("GATEWAY_AXE")).unwrap();
    let count = pages.len();
    assert_eq!(count, 22);
    // A page that must not pass, or nothing was looked at.
    pages.push("<html><body><h1></h1><p style=\"color:#eee\">Hello</p></body></html>".to_owned());
    let served: Content = Arc::new({
        let pages = pages.clone();
        move |path| match path.trim_start_matches('/').parse::<usize>() {
            Ok(page) => {
                let look = "<script src=\"/axe.js\"></script><script>axe.run().then((found) => {\
                    document.body.dataset.wrong = found.violations.map((rule) => rule.id).join(' ');\
                    document.body.dataset.looked = found.passes.length; });</script></body>";
                (
                    "text/html; charset=utf-8",
                    pages[page].replace("</body>", look),
                )
            }
            Err(_) => ("text/javascript", axe.clone()),
        }
    });
    let at = serve(served).await;
    let script = serve(Arc::new(|_| ("text/javascript", SCRIPT.to_owned()))).await;
    for (number, page) in pages.iter().enumerate() {
        let names = [("pages.test", at), ("api.bitrix24.com", script)];
        let dom = look(&format!("https://pages.test/{number}"), &names).await;
        let value = |name: &str| {
            let (_, rest) = dom.split_once(&format!("data-{name}=\""))?;
            rest.split('"').next()
        };
        let looked: u32 = value("looked").expect("axe has run").parse().unwrap();
        assert!(looked > 3, "{dom}");
        let wrong = value("wrong").unwrap();
        if number < count {
            assert_eq!(wrong, "", "{page}");
        } else {
            for rule in ["color-contrast", "document-title", "html-has-lang"] {
                assert!(wrong.contains(rule), "{wrong}");
            }
        }
    }
}
