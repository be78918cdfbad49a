//! The barest possible proxy: one gRPC call in, one POST out, and a look at whether it was taken.
//!
//! It checks nothing, remembers nothing and knows one method; of the gateway it has only the
//! generated messages.

use std::path::Path;

use bitrix24_gateway::proto::v1::{self as pb, answer_command_request::Target};
use reqwest::{Client, Url, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;
use tonic::{Response, Status};

use crate::{
    answering::{self, Answering, Later},
    common::Outcome,
    https,
};

/// The bot of the documented answers, and a token of the usual length.
const BOT_ID: i64 = 456;
const BOT_TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

/// Serves `AnswerCommand` until killed.
pub(crate) async fn run(portal: &str, ca_file: &Path) -> Outcome<()> {
    let client = https::client(ca_file)?;
    let bare = Bare {
        client,
        url: format!("{portal}imbot.v2.Command.answer").parse()?,
    };
    answering::serve(bare).await
}

#[derive(Clone)]
struct Bare {
    client: Client,
    url: Url,
}

/// As much of an answer as there is to look at.
#[derive(Deserialize)]
struct Answer {
    result: bool,
}

impl Bare {
    async fn post(
        self,
        request: pb::AnswerCommandRequest,
    ) -> Result<Response<pb::AnswerCommandResponse>, Status> {
        let Some(Target::Invocation(ids)) = request.target else {
            return Err(Status::unimplemented("only raw ids"));
        };
        let body = json!({
            "botId": BOT_ID,
            "botToken": BOT_TOKEN,
            "commandId": ids.command_id,
            "messageId": ids.message_id,
            "dialogId": ids.dialog_id,
            "fields": { "message": request.content.unwrap_or_default().text },
        });
        let lost = |error: reqwest::Error| Status::unknown(error.to_string());
        let response = self
            .client
            .post(self.url)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string())
            .send()
            .await
            .map_err(lost)?;
        let body = response.bytes().await.map_err(lost)?;
        match serde_json::from_slice(&body) {
            Ok(Answer { result: true }) => Ok(Response::new(pb::AnswerCommandResponse {
                outcome: pb::AnswerOutcome::Answered.into(),
                message_id: None,
            })),
            _ => Err(Status::unknown("not taken")),
        }
    }
}

impl Answering for Bare {
    fn answer(
        &self,
        request: pb::AnswerCommandRequest,
    ) -> Later<Response<pb::AnswerCommandResponse>, Status> {
        Box::pin(self.clone().post(request))
    }
}
