//! Who may ask: this page in a browser of this machine, and nobody else.
//!
//! A page from elsewhere can make a browser send requests here, also under a name of its own that leads
//! to this machine. So the name under which we are asked has to be ours, and whoever says where it comes
//! from has to come from here. Whatever changes something has to say so.

use std::net::SocketAddr;

use hyper::Method;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use hyper::http::request::Parts;

/// Sent with everything: nothing but our own files is loaded, framed, submitted to or made of text.
pub(super) const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'",
    ),
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    #[error(
        "this page is asked for under another name; open it at the address it was started with"
    )]
    ForeignName,
    #[error("pages from elsewhere may not ask here")]
    ForeignOrigin,
    #[error("the content type has to be application/json")]
    NotJson,
}

impl Stopped {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::ForeignName => 421,
            Self::ForeignOrigin => 403,
            Self::NotJson => 415,
        }
    }
}

/// Checks what a request says of where it comes from.
pub(super) fn check(head: &Parts, own: SocketAddr) -> Result<(), Stopped> {
    let header = |name: HeaderName| one(head, &name);
    let host = header(HOST)?.unwrap_or_default();
    let ours = [own.to_string(), format!("localhost:{}", own.port())];
    if !ours.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return Err(Stopped::ForeignName);
    }
    let origin = header(ORIGIN)?;
    if origin.is_some_and(|origin| !origin.eq_ignore_ascii_case(&format!("http://{host}"))) {
        return Err(Stopped::ForeignOrigin);
    }
    let site = header(HeaderName::from_static("sec-fetch-site"))?;
    let mode = header(HeaderName::from_static("sec-fetch-mode"))?;
    // A link may lead to the page itself; that shows nothing to whoever made the link.
    let is_link = mode == Some("navigate") && head.uri.path() == "/" && head.method == Method::GET;
    if site.is_some_and(|site| site != "same-origin" && site != "none") && !is_link {
        return Err(Stopped::ForeignOrigin);
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        if origin.is_none() {
            return Err(Stopped::ForeignOrigin);
        }
        let media = header(CONTENT_TYPE)?.unwrap_or_default();
        if media.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Stopped::NotJson);
        }
    }
    Ok(())
}

/// The value of a header that may come once.
fn one<'a>(head: &'a Parts, name: &HeaderName) -> Result<Option<&'a str>, Stopped> {
    let mut values = head.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Stopped::ForeignOrigin),
        (Some(_), Some(_)) => Err(Stopped::ForeignOrigin),
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn asked(verb: &str, path: &str, headers: &[(&str, &str)]) -> Result<(), Stopped> {
        let mut request = Request::builder().method(verb).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        check(&head, "127.0.0.1:8080".parse().unwrap())
    }

    const OWN: (&str, &str) = ("host", "127.0.0.1:8080");
    const JSON: (&str, &str) = ("content-type", "application/json");
    const FROM_HERE: (&str, &str) = ("origin", "http://127.0.0.1:8080");

    #[test]
    fn only_our_own_names_are_answered() {
        assert_eq!(asked("GET", "/", &[OWN]), Ok(()));
        assert_eq!(asked("GET", "/", &[("host", "LocalHost:8080")]), Ok(()));
        for host in [
            "evil.test",
            "evil.test:8080",
            "127.0.0.1",
            "localhost:80",
            "",
            "127.0.0.1:8080.evil.test",
        ] {
            assert_eq!(
                asked("GET", "/", &[("host", host)]),
                Err(Stopped::ForeignName),
                "{host}"
            );
        }
        assert_eq!(asked("GET", "/", &[]), Err(Stopped::ForeignName));
        assert_eq!(
            asked("GET", "/", &[OWN, ("host", "evil.test")]),
            Err(Stopped::ForeignOrigin)
        );
    }

    #[test]
    fn foreign_origins_are_refused_and_changes_have_to_name_one() {
        assert_eq!(asked("POST", "/x", &[OWN, JSON, FROM_HERE]), Ok(()));
        for origin in [
            "null",
            "http://evil.test",
            "https://127.0.0.1:8080",
            "http://127.0.0.1:8081",
            "http://localhost:8080",
        ] {
            let headers = [OWN, JSON, ("origin", origin)];
            assert_eq!(
                asked("POST", "/x", &headers),
                Err(Stopped::ForeignOrigin),
                "{origin}"
            );
        }
        assert_eq!(
            asked("POST", "/x", &[OWN, JSON]),
            Err(Stopped::ForeignOrigin)
        );
        assert_eq!(
            asked("DELETE", "/x", &[OWN, JSON]),
            Err(Stopped::ForeignOrigin)
        );
        let form = ("content-type", "text/plain");
        assert_eq!(
            asked("POST", "/x", &[OWN, form, FROM_HERE]),
            Err(Stopped::NotJson)
        );
    }

    #[test]
    fn other_sites_may_link_to_the_page_and_nothing_else() {
        let from = |site| ("sec-fetch-site", site);
        let link = ("sec-fetch-mode", "navigate");
        assert_eq!(asked("GET", "/events", &[OWN, from("same-origin")]), Ok(()));
        assert_eq!(asked("GET", "/", &[OWN, from("none"), link]), Ok(()));
        assert_eq!(asked("GET", "/", &[OWN, from("cross-site"), link]), Ok(()));
        for site in ["cross-site", "same-site"] {
            assert_eq!(
                asked("GET", "/events", &[OWN, from(site), link]),
                Err(Stopped::ForeignOrigin)
            );
            assert_eq!(
                asked("GET", "/", &[OWN, from(site)]),
                Err(Stopped::ForeignOrigin)
            );
        }
    }
}
