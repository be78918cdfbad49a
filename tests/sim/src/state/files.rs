//! Files in chats, and the short-lived addresses they are fetched from (C14.5, C22).

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Credential, State, User, take};
use crate::clock::UnixTime;

/// How long the address of a file is good.
const ADDRESS_KEPT: Duration = Duration::from_secs(300);

/// A file somebody put into a chat.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) id: i64,
    pub(crate) chat_id: i64,
    pub(crate) author_id: i64,
    pub(crate) name: String,
    pub(crate) content: Bytes,
    pub(crate) date: UnixTime,
}

impl State {
    /// Keeps a file under a name that is unique in its chat.
    pub(crate) fn add_file(&mut self, file: File) -> i64 {
        let id = take(&mut self.ids.file);
        let taken = |name: &str| {
            let mut all = self.files.values();
            all.any(|known| known.chat_id == file.chat_id && known.name == name)
        };
        let (stem, extension) = match file.name.rsplit_once('.') {
            Some((stem, extension)) => (stem, format!(".{extension}")),
            None => (file.name.as_str(), String::new()),
        };
        let mut name = file.name.clone();
        let mut copy = 1;
        while taken(&name) {
            name = format!("{stem} ({copy}){extension}");
            copy += 1;
        }
        self.files.insert(id, File { id, name, ..file });
        id
    }

    /// A file as bots see it.
    pub(crate) fn file(&self, file: &File) -> Map<String, Value> {
        let extension = file.name.rsplit_once('.').map_or("", |(_, end)| end);
        let kind = match extension.to_ascii_lowercase().as_str() {
            "png" | "jpg" | "jpeg" | "gif" => "image",
            "mp4" | "webm" => "video",
            "mp3" | "ogg" | "wav" => "audio",
            _ => "file",
        };
        let author = self.users.get(&file.author_id).map(User::full_name);
        let shown = json!({
            "id": file.id,
            "chatId": file.chat_id,
            "date": self.date(file.date),
            "type": kind,
            "name": file.name,
            "extension": extension,
            "size": file.content.len(),
            "image": false,
            "authorId": file.author_id,
            "authorName": author,
            "isTranscribable": false,
            "isVideoNote": false,
            "isVoiceNote": false,
        });
        match shown {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// An address for one download; it carries the secret of the credential.
    pub(crate) fn download_url(
        &mut self,
        file_id: i64,
        credential: &Credential,
        now: UnixTime,
    ) -> String {
        let token = self.secret(4);
        let base = self.identity.client_endpoint();
        let url = match &credential.client_id {
            Some(_) => format!("{base}download/?auth={}&token={token}", credential.secret),
            None => {
                let user = credential.user_id;
                format!("{base}{user}/{}/download/?token={token}", credential.secret)
            }
        };
        self.downloads.insert(token, (file_id, now + ADDRESS_KEPT));
        url
    }

    /// The file of an address, which works once.
    pub(crate) fn fetch_download(&mut self, token: &str, now: UnixTime) -> Option<File> {
        let (file_id, until) = self.downloads.remove(token)?;
        let file = self.files.get(&file_id).filter(|_| now < until);
        file.cloned()
    }
}
