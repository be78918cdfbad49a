//! What pages say, in the languages of people. Plain text: nothing here needs to be escaped.

mod de;
mod en;
mod ru;

use axum::http::{HeaderMap, header};

use super::page::Page;

/// A language that we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    German,
    Russian,
}

impl Language {
    /// The language of a portal, by its two letters; English for all that we do not speak.
    pub(super) fn of_portal(code: Option<&str>) -> Self {
        match code {
            Some("de") => Self::German,
            Some("ru" | "by" | "kz" | "ua") => Self::Russian,
            _ => Self::English,
        }
    }

    /// The language that a browser wants most.
    pub(super) fn of_browser(headers: &HeaderMap) -> Self {
        let wanted = headers.get(header::ACCEPT_LANGUAGE);
        let wanted = wanted.and_then(|wanted| wanted.to_str().ok());
        let first = wanted.unwrap_or_default();
        let first = first.split([',', ';', '-']).next().unwrap_or_default();
        Self::of_portal(Some(first.trim()).filter(|first| matches!(*first, "de" | "ru")))
    }

    /// Its name in HTML.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::Russian => "ru",
        }
    }

    /// The title of a page, what happened, and what to do next.
    pub(super) fn texts(self, page: Page) -> [&'static str; 3] {
        match self {
            Self::English => en::texts(page),
            Self::German => de::texts(page),
            Self::Russian => ru::texts(page),
        }
    }

    /// What to do when the portal cannot be told that the installation is finished.
    pub(super) fn stuck(self) -> &'static str {
        match self {
            Self::English => en::STUCK,
            Self::German => de::STUCK,
            Self::Russian => ru::STUCK,
        }
    }
}
