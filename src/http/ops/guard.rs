//! Who may look at the page: people at its own address, and no page of anybody else.
//!
//! The page has no credential of its own, so a page that a stranger shows to somebody who can reach it
//! must not read it: neither from its own origin, nor by a name that it lets lead to this machine.

use axum::http::{HeaderMap, StatusCode, Uri, header};

/// Whether somebody is let look; else how they are refused.
pub(super) fn admit(headers: &HeaderMap, on_loopback: bool) -> Result<(), StatusCode> {
    let Some(host) = single(headers, "host") else {
        return Err(StatusCode::BAD_REQUEST);
    };
    // On loopback it has no name, so whoever comes by one was led there.
    if on_loopback && !is_this_machine(host) {
        return Err(StatusCode::MISDIRECTED_REQUEST);
    }
    let is_own = |origin: &str| {
        let (_, rest) = origin.split_once("://").unwrap_or_default();
        rest.eq_ignore_ascii_case(host)
    };
    if headers.contains_key(header::ORIGIN) && !single(headers, "origin").is_some_and(is_own) {
        return Err(StatusCode::FORBIDDEN);
    }
    // Whoever follows a link sees the page, and who set the link does not.
    let follows = || {
        single(headers, "sec-fetch-mode") == Some("navigate")
            && single(headers, "sec-fetch-dest") == Some("document")
    };
    match single(headers, "sec-fetch-site") {
        None if headers.contains_key("sec-fetch-site") => Err(StatusCode::FORBIDDEN),
        None | Some("none" | "same-origin") => Ok(()),
        Some(_) if follows() => Ok(()),
        Some(_) => Err(StatusCode::FORBIDDEN),
    }
}

/// The value of a header that stands there once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether a host is this machine by a name that nobody else can give out.
fn is_this_machine(host: &str) -> bool {
    let uri: Option<Uri> = format!("http://{host}/").parse().ok();
    let name = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lines: &[(&'static str, &str)], on_loopback: bool) -> Result<(), StatusCode> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        admit(&headers, on_loopback)
    }

    #[test]
    fn only_this_machine_is_a_host_where_the_listener_is_on_loopback() {
        for host in [
            "127.0.0.1:9464",
            "localhost:9464",
            "LOCALHOST",
            "[::1]:9464",
            "127.0.0.2",
        ] {
            assert_eq!(asked(&[("host", host)], true), Ok(()), "{host}");
        }
        for host in [
            "evil.test:9464",
            "127.0.0.1.evil.test",
            "localhost.evil.test",
            "10.0.0.7",
            "",
        ] {
            let refused = Err(StatusCode::MISDIRECTED_REQUEST);
            assert_eq!(asked(&[("host", host)], true), refused, "{host}");
            assert!(host.is_empty() || asked(&[("host", host)], false).is_ok());
        }
        assert_eq!(asked(&[], false), Err(StatusCode::BAD_REQUEST));
        let twice = [("host", "127.0.0.1"), ("host", "127.0.0.1")];
        assert_eq!(asked(&twice, true), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn pages_of_others_are_refused_and_links_are_followed() {
        let with = |name, value| asked(&[("host", "127.0.0.1:9464"), (name, value)], true);
        assert_eq!(with("origin", "http://127.0.0.1:9464"), Ok(()));
        assert_eq!(with("sec-fetch-site", "same-origin"), Ok(()));
        assert_eq!(with("sec-fetch-site", "none"), Ok(()));
        let refused = Err(StatusCode::FORBIDDEN);
        for (name, value) in [
            ("origin", "http://evil.test"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:9465"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(with(name, value), refused, "{name} {value}");
        }
        let fetched = |mode, dest| {
            let host = ("host", "127.0.0.1:9464");
            let site = ("sec-fetch-site", "cross-site");
            let mode = ("sec-fetch-mode", mode);
            asked(&[host, site, mode, ("sec-fetch-dest", dest)], true)
        };
        assert_eq!(fetched("navigate", "document"), Ok(()));
        for (mode, dest) in [
            ("navigate", "iframe"),
            ("no-cors", "image"),
            ("cors", "empty"),
        ] {
            assert_eq!(fetched(mode, dest), refused, "{mode} {dest}");
        }
    }
}
