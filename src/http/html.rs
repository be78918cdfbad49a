//! Pages for people: fixed texts, which nothing that strangers send gets into.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{page::Page, texts::Language};

/// Where Bitrix24 keeps the script that ends an installation.
const SCRIPTS: &str = "https://api.bitrix24.com";

/// Dark on white, in the middle of a frame of any size.
const STYLE: &str = "body{margin:0;background:#fff;color:#1f2328;font:16px/1.5 system-ui,sans-serif}\
    main{max-width:40em;margin:3em auto;padding:0 1.5em}h1{font-size:1.5em;line-height:1.25}";

/// Shows a page, in a frame of this origin only, or in none.
pub(super) fn show(page: Page, language: Language, framed_by: Option<&str>) -> Response {
    let mut bytes = [0; 16];
    // Without random numbers there is no nonce, and without it neither style nor script.
    let nonce = match getrandom::fill(&mut bytes) {
        Ok(()) => URL_SAFE_NO_PAD.encode(bytes),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    let scripts = match page {
        Page::Finish => format!("script-src 'nonce-{nonce}' {SCRIPTS}; "),
        _ => String::new(),
    };
    let framed_by = framed_by.unwrap_or("'none'");
    let policy = format!(
        "default-src 'none'; {scripts}style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors {framed_by}"
    );
    let Ok(policy) = HeaderValue::try_from(policy) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (
        page.status(),
        private(),
        [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, policy),
        ],
        write(page, language, &nonce),
    )
        .into_response()
}

/// What keeps an answer between us and this browser.
pub(super) fn private() -> [(HeaderName, HeaderValue); 3] {
    [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

fn write(page: Page, language: Language, nonce: &str) -> String {
    let [title, what, next] = language.texts(page);
    let code = language.code();
    let script = match page {
        Page::Finish => finish(language, nonce),
        _ => String::new(),
    };
    format!(
        "<!doctype html>\n<html lang=\"{code}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style nonce=\"{nonce}\">{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p>{what}</p>\n<p>{next}</p>\n{script}</main>\n</body>\n</html>\n"
    )
}

/// Tells the portal that the installation is finished, and the person if that does not work.
fn finish(language: Language, nonce: &str) -> String {
    let stuck = language.stuck();
    format!(
        "<noscript><p>{stuck}</p></noscript>\n<p id=\"stuck\" role=\"alert\" hidden>{stuck}</p>\n\
         <script nonce=\"{nonce}\" src=\"{SCRIPTS}/api/v1/\"></script>\n\
         <script nonce=\"{nonce}\">if(window.BX24){{BX24.init(function(){{BX24.installFinish()}})}}\
         else{{document.getElementById(\"stuck\").hidden=false}}</script>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Page; 16] = [
        Page::Finish,
        Page::Installed,
        Page::NotConnected,
        Page::Authorized,
        Page::NotVerified,
        Page::OtherApplication,
        Page::OtherServer,
        Page::Unanswered,
        Page::OtherUser,
        Page::CannotStore,
        Page::LinkOver,
        Page::StateUsed,
        Page::StateLate,
        Page::StateForeign,
        Page::OtherPortal,
        Page::CodeRefused,
    ];

    #[test]
    fn every_page_has_a_language_a_title_one_heading_and_says_what_to_do() {
        for language in [Language::English, Language::German, Language::Russian] {
            let mut titles = Vec::new();
            for page in ALL {
                let html = write(page, language, "NONCE");
                let lang = format!("<html lang=\"{}\">", language.code());
                assert!(html.contains(&lang), "{html}");
                assert_eq!(html.matches("<h1>").count(), 1, "{html}");
                let [title, what, next] = language.texts(page);
                for text in [title, what, next] {
                    assert!(
                        text.len() > 5 && !text.contains(['<', '>', '&', '"']),
                        "{text}"
                    );
                }
                assert_eq!(html.contains("<script"), page == Page::Finish);
                titles.push(title);
            }
            titles.sort_unstable();
            titles.dedup();
            assert_eq!(titles.len(), ALL.len(), "{titles:?}");
        }
    }
}
