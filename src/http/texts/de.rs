//! German.

use crate::http::page::Page;

pub(super) const STUCK: &str = "Das Portal konnte nicht benachrichtigt werden. Erlauben Sie in diesem Browser Skripte von api.bitrix24.com und öffnen Sie die Anwendung erneut.";

/// The title of a page, what happened, and what to do next.
pub(super) fn texts(page: Page) -> [&'static str; 3] {
    match page {
        Page::Finish => [
            "Die Anwendung ist verbunden",
            "Das Gateway hat jetzt Zugang zu diesem Portal.",
            "Sie müssen nichts tun: Das Portal schließt die Installation selbst ab und lädt diese Seite vielleicht neu.",
        ],
        Page::Installed => [
            "Die Anwendung ist installiert",
            "Sie arbeitet im Hintergrund, für die Chatbots dieses Portals.",
            "Hier ist nichts zu tun.",
        ],
        Page::NotConnected => [
            "Die Anwendung ist installiert, aber nicht verbunden",
            "Das Gateway hat keinen Zugang zu diesem Portal.",
            "Bitten Sie den Betreiber des Gateways um einen Autorisierungslink, oder lassen Sie die Anwendung von einem Administrator entfernen und neu installieren.",
        ],
        Page::Authorized => [
            "Das Portal ist verbunden",
            "Das Gateway hat jetzt Zugang zu dem Portal.",
            "Sie können diese Seite schließen.",
        ],
        Page::NotVerified => [
            "Die Anfrage konnte nicht geprüft werden",
            "Bitrix24 hat nicht bestätigt, dass diese Seite aus dem Portal geöffnet wurde. Nichts wurde geändert.",
            "Öffnen Sie die Anwendung erneut aus dem Portal. Hilft das nicht, sagen Sie es dem Betreiber des Gateways.",
        ],
        Page::OtherApplication => [
            "Das ist eine andere Anwendung",
            "Die Anfrage gehört zu einer Anwendung, die dieses Gateway nicht bedient. Nichts wurde geändert.",
            "Vergleichen Sie Adresse und client_id in den Einstellungen der Anwendung mit denen des Gateways.",
        ],
        Page::OtherServer => [
            "Der Autorisierungsserver ist nicht erlaubt",
            "Das Portal nennt einen Autorisierungsserver, mit dem dieses Gateway nicht spricht. Nichts wurde geändert.",
            "Bitten Sie den Betreiber des Gateways, die Einstellung oauth.hosts anzusehen.",
        ],
        Page::Unanswered => [
            "Bitrix24 antwortet nicht",
            "Der Autorisierungsserver hat nicht rechtzeitig geantwortet. Nichts wurde geändert.",
            "Warten Sie einige Minuten und versuchen Sie es erneut. Nach einem Link bitten Sie um einen neuen.",
        ],
        Page::OtherUser => [
            "Ein anderer Benutzer hat dieses Portal verbunden",
            "Das Gateway arbeitet mit dem Zugang eines anderen Benutzers und behält ihn.",
            "Soll Ihrer an seine Stelle treten, bitten Sie den Betreiber des Gateways um einen Autorisierungslink, der den Benutzer ersetzt.",
        ],
        Page::CannotStore => [
            "Der Zugang konnte nicht gespeichert werden",
            "Das Gateway kann den Zugang zu diesem Portal gerade nicht speichern.",
            "Sagen Sie es dem Betreiber des Gateways, dessen Protokoll den Grund nennt, und versuchen Sie es danach erneut.",
        ],
        Page::LinkOver => [
            "Dieser Link gilt nicht mehr",
            "Ein Link gilt einmal und 15 Minuten lang.",
            "Bitten Sie den Betreiber des Gateways um einen neuen.",
        ],
        Page::StateUsed => [
            "Das ist schon geschehen",
            "Die Antwort des Portals wurde schon verwendet. Diesmal wurde nichts geändert.",
            "Ist das Portal nicht verbunden, bitten Sie den Betreiber des Gateways um einen neuen Link.",
        ],
        Page::StateLate => [
            "Das hat zu lange gedauert",
            "Die Autorisierung begann vor mehr als zehn Minuten. Nichts wurde geändert.",
            "Bitten Sie den Betreiber des Gateways um einen neuen Link.",
        ],
        Page::StateForeign => [
            "Diese Autorisierung wurde nicht hier begonnen",
            "Sie gehört zu einem anderen Browser oder zu keinem. Nichts wurde geändert.",
            "Öffnen Sie den Link in dem Browser, in dem Sie zustimmen, und erlauben Sie dort Cookies.",
        ],
        Page::OtherPortal => [
            "Das ist ein anderes Portal",
            "Der Link ist für ein anderes Portal als das, das geantwortet hat. Nichts wurde geändert.",
            "Melden Sie sich am richtigen Portal an und bitten Sie den Betreiber des Gateways um einen neuen Link.",
        ],
        Page::CodeRefused => [
            "Bitrix24 hat keinen Zugang gegeben",
            "Die Autorisierung wurde nicht bestätigt, oder ihr Code war zu alt. Nichts wurde geändert.",
            "Bitten Sie den Betreiber des Gateways um einen neuen Link, und sehen Sie nach, ob die Anwendung im Portal installiert ist.",
        ],
    }
}
