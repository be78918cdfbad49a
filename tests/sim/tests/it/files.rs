//! Files of bots and people (C22, C23).

use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use crate::world::{Answer, World, path_of};

async fn upload(world: &World, bot: i64, fields: Value) -> Answer {
    let params = json!({"dialogId": world.anna.to_string(), "fields": fields});
    world.of_bot("imbot.v2.File.upload", bot, params).await
}

/// Fetches an address like a browser, or like a plain client.
async fn fetch(world: &World, url: &str, browser: bool) -> (u16, String) {
    let mut request = Request::get(path_of(url)).header("host", "portal");
    if browser {
        request = request
            .header("user-agent", "test/1")
            .header("accept", "*/*")
            .header("accept-language", "en")
            .header("referer", "https://portal/");
    }
    let response = world
        .client
        .send(request.body(Full::default()).unwrap())
        .await
        .unwrap();
    let body = String::from_utf8_lossy(response.body()).into_owned();
    (response.status().as_u16(), body)
}

#[tokio::test(start_paused = true)]
async fn an_uploaded_file_is_posted_and_fetched_once_by_a_secret_address() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let fields = json!({"name": "a.txt", "content": "aGVsbG8=", "message": "look"});
    let sent = upload(&world, bot, fields.clone()).await;
    let result = sent.result();
    assert_eq!(
        (&result["file"]["name"], &result["file"]["size"]),
        (&json!("a.txt"), &json!(5))
    );
    assert_eq!(result["dialogId"], world.anna.to_string());
    assert!(result["file"].get("urlDownload").is_none());
    let message = world
        .portal
        .message(result["messageId"].as_i64().unwrap())
        .unwrap();
    assert_eq!(message.text, "look");
    let again = upload(&world, bot, fields).await;
    assert_eq!(again.result()["file"]["name"], "a (1).txt");

    let params = json!({"fileId": result["file"]["id"]});
    let answer = world
        .of_bot("imbot.v2.File.download", bot, params.clone())
        .await;
    let url = answer.result()["downloadUrl"].as_str().unwrap();
    assert!(url.starts_with(&world.portal.webhook_url()), "{url}");
    assert_eq!(fetch(&world, url, false).await.0, 404);
    assert_eq!(fetch(&world, url, true).await, (200, "hello".to_owned()));
    assert_eq!(fetch(&world, url, true).await.0, 404);
    let other = world.bot("b").await;
    let refused = world.of_bot("imbot.v2.File.download", other, params).await;
    assert_eq!(refused.error(), "FILE_ACCESS_ERROR");
}

#[tokio::test(start_paused = true)]
async fn files_fail_by_their_own_names() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    for (content, code) in [
        ("", "FILE_EMPTY"),
        ("data:text/plain;base64,aGVsbG8=", "FILE_INVALID_CONTENT"),
        ("%%%", "FILE_INVALID_CONTENT"),
    ] {
        let answer = upload(&world, bot, json!({"name": "a", "content": content})).await;
        assert_eq!(answer.error(), code);
    }
    let params = json!({"fileId": 1});
    let answer = world.of_bot("imbot.v2.File.download", bot, params).await;
    assert_eq!(answer.error(), "FILE_NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn a_person_puts_files_into_own_chats() {
    let world = World::new().await;
    let fields = json!({"name": "a.png", "content": "aGVsbG8="});
    let params = json!({"dialogId": world.dialog(), "fields": fields});
    let sent = world.call("im.v2.File.upload", params).await;
    let file = &sent.result()["file"];
    assert_eq!(
        (&file["type"], &file["authorId"]),
        (&json!("image"), &json!(1))
    );
    assert!(file["urlDownload"].is_string());
    let params = json!({"dialogId": world.dialog(), "fileId": file["id"]});
    let answer = world.call("im.v2.File.download", params).await;
    let url = answer.result()["downloadUrl"].as_str().unwrap();
    assert_eq!(fetch(&world, url, true).await.1, "hello");
    let nowhere = json!({"dialogId": "chat99", "fields": fields});
    let nowhere = world.call("im.v2.File.upload", nowhere).await;
    assert_eq!(nowhere.error(), "CHAT_NOT_FOUND");
}
