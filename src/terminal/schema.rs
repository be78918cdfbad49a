//! What a gateway says of its API, asked by server reflection.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, FileDescriptor, MethodDescriptor,
    prost_types::{FileDescriptorProto, SourceCodeInfo},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse,
    server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest as Asked,
    server_reflection_response::MessageResponse as Answered,
};

use super::Connection;

/// Files that an API may consist of: many times what ours has.
const FILES: usize = 500;

/// The service that tells all this.
const REFLECTION: &str = "grpc.reflection.";

/// What names the reasons of failures.
const REASONS: &str = "bitrix24.gateway.v1.ErrorReason";

/// An API. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schema(DescriptorPool);

/// There is no such RPC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownRpc {
    /// And one with a similar name.
    #[error(
        "the gateway has no RPC `{written}`; perhaps `{nearest}` is meant, `call --list` names all"
    )]
    Near {
        /// What was asked for.
        written: String,
        /// What may be meant.
        nearest: String,
    },
    /// And none with a similar name.
    #[error("the gateway has no RPC `{0}`: `call --list` names all")]
    Far(String),
    /// There are several.
    #[error("several services have an RPC `{written}`: say {}", .full.join(" or "))]
    Several {
        /// What was asked for.
        written: String,
        /// With their services.
        full: Vec<String>,
    },
}

/// Asks one thing after another over one stream.
struct Asking {
    questions: mpsc::Sender<ServerReflectionRequest>,
    answers: Streaming<ServerReflectionResponse>,
}

impl Asking {
    async fn begin(connection: &Connection) -> Result<Self, Status> {
        let (questions, asked) = mpsc::channel(1);
        let mut client = ServerReflectionClient::new(connection.channel.clone());
        let request = connection.request(ReceiverStream::new(asked));
        let answers = client.server_reflection_info(request).await?.into_inner();
        Ok(Self { questions, answers })
    }

    async fn ask(&mut self, question: Asked) -> Result<Answered, Status> {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        };
        // When it cannot be sent the stream has ended, which says why.
        let _sent = self.questions.send(request).await;
        let answer = self.answers.message().await?;
        let answer = answer.and_then(|answer| answer.message_response);
        match answer.ok_or_else(|| Status::data_loss("reflection ended too early"))? {
            Answered::ErrorResponse(error) => {
                let code = Code::from(error.error_code);
                Err(Status::new(code, error.error_message))
            }
            answer => Ok(answer),
        }
    }

    /// The files of an answer.
    async fn files(&mut self, question: Asked) -> Result<Vec<FileDescriptorProto>, Status> {
        let Answered::FileDescriptorResponse(files) = self.ask(question).await? else {
            return Err(odd("files"));
        };
        let files = files.file_descriptor_proto.iter();
        let files = files.map(|bytes| FileDescriptorProto::decode(bytes.as_slice()));
        files.collect::<Result<_, _>>().map_err(|_| odd("files"))
    }
}

fn odd(what: &str) -> Status {
    Status::data_loss(format!("reflection does not tell the {what}"))
}

impl Schema {
    /// Asks a gateway.
    ///
    /// # Errors
    ///
    /// It does not answer, or not in a way that makes sense.
    pub async fn of(connection: &Connection) -> Result<Self, Status> {
        let mut asking = Asking::begin(connection).await?;
        let Answered::ListServicesResponse(services) =
            asking.ask(Asked::ListServices(String::new())).await?
        else {
            return Err(odd("services"));
        };
        let names = services.service.into_iter().map(|service| service.name);
        let own = names.filter(|name| !name.starts_with(REFLECTION));
        let mut questions: Vec<_> = own.map(Asked::FileContainingSymbol).collect();
        // No RPC mentions them, and a gateway of another kind has none.
        questions.push(Asked::FileContainingSymbol(REASONS.to_owned()));
        let mut files = BTreeMap::new();
        let mut named = BTreeSet::new();
        while let Some(question) = questions.pop() {
            let optional = question == Asked::FileContainingSymbol(REASONS.to_owned());
            let told = match asking.files(question).await {
                Err(status) if optional && status.code() == Code::NotFound => Vec::new(),
                told => told?,
            };
            for file in told {
                named.insert(file.name().to_owned());
                for needed in &file.dependency {
                    if named.insert(needed.clone()) {
                        questions.push(Asked::FileByFilename(needed.clone()));
                    }
                }
                files.insert(file.name().to_owned(), file);
            }
            if named.len() > FILES {
                return Err(odd("API in so many files"));
            }
        }
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_protos(files.into_values())
            .map_err(|error| Status::data_loss(format!("reflection: {error}")))?;
        Ok(Self(pool))
    }

    /// All RPCs by service.
    pub fn rpcs(&self) -> impl Iterator<Item = MethodDescriptor> {
        let services: Vec<_> = self.0.services().collect();
        let methods = |service: prost_reflect::ServiceDescriptor| {
            let methods: Vec<_> = service.methods().collect();
            methods
        };
        services.into_iter().flat_map(methods)
    }

    /// The RPC of a name: `ListBots`, or with its service, as `bitrix24.gateway.v1.BotService/ListBots`.
    ///
    /// # Errors
    ///
    /// There is none, or more than one.
    pub fn rpc(&self, written: &str) -> Result<MethodDescriptor, UnknownRpc> {
        let trimmed = written.trim_start_matches('/');
        let (service, name) = trimmed.rsplit_once(['/', '.']).unwrap_or(("", trimmed));
        let fits = |rpc: &MethodDescriptor| {
            let of = rpc.parent_service();
            rpc.name() == name && (["", of.name(), of.full_name()].contains(&service))
        };
        let mut found: Vec<_> = self.rpcs().filter(fits).collect();
        if found.len() > 1 {
            return Err(UnknownRpc::Several {
                written: written.to_owned(),
                full: found.iter().map(full_name).collect(),
            });
        }
        found.pop().ok_or_else(|| {
            let known: Vec<_> = self.rpcs().map(|rpc| rpc.name().to_owned()).collect();
            let written = written.to_owned();
            match nearest(name, known.iter().map(String::as_str)) {
                Some(nearest) => UnknownRpc::Near {
                    written,
                    nearest: nearest.to_owned(),
                },
                None => UnknownRpc::Far(written),
            }
        })
    }

    /// What the API says of a reason of a failure, in one line.
    pub(super) fn meaning(&self, reason: &str) -> Option<String> {
        let reasons = self.0.get_enum_by_name(REASONS)?;
        let value = reasons.get_value_by_name(&format!("ERROR_REASON_{reason}"))?;
        let lines = comment(&value.parent_enum().parent_file(), value.path())?;
        Some(lines.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    #[cfg(test)]
    pub(super) fn own() -> Self {
        Self(DescriptorPool::decode(crate::proto::DESCRIPTORS).unwrap())
    }
}

/// An RPC with its service, as in the path of a request.
pub(super) fn full_name(rpc: &MethodDescriptor) -> String {
    format!("{}/{}", rpc.parent_service().full_name(), rpc.name())
}

/// The comment above something, if the gateway tells it.
pub(super) fn comment(file: &FileDescriptor, path: &[i32]) -> Option<String> {
    let info: &SourceCodeInfo = file.file_descriptor_proto().source_code_info.as_ref()?;
    let location = info.location.iter().find(|it| it.path == path)?;
    let lines = location.leading_comments.as_deref()?.lines();
    let lines: Vec<_> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    Some(lines.join("\n").trim_end().to_owned())
}

/// The name that somebody may have meant, if one is near enough.
pub(super) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR: f64 = 0.8;
    let written = written.to_lowercase();
    let likeness = |name: &&str| strsim::jaro_winkler(&written, &name.to_lowercase());
    let best = known.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(&best) >= NEAR).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpcs_are_found_by_every_name_they_have() {
        let schema = Schema::own();
        for written in [
            "ListBots",
            "BotService/ListBots",
            "BotService.ListBots",
            "bitrix24.gateway.v1.BotService/ListBots",
            "/bitrix24.gateway.v1.BotService/ListBots",
            "bitrix24.gateway.v1.BotService.ListBots",
        ] {
            let rpc = schema.rpc(written).unwrap();
            assert_eq!(full_name(&rpc), "bitrix24.gateway.v1.BotService/ListBots");
        }
    }

    #[test]
    fn unknown_rpc_is_told_with_the_nearest_one() {
        let schema = Schema::own();
        for (written, nearest) in [
            ("ListBot", "ListBots"),
            ("listbots", "ListBots"),
            ("BotService/RegsterBot", "RegisterBot"),
        ] {
            let told = schema.rpc(written).unwrap_err().to_string();
            assert!(
                told.contains(&format!("perhaps `{nearest}` is meant")),
                "{told}"
            );
        }
        assert_eq!(schema.rpc("xyz"), Err(UnknownRpc::Far("xyz".to_owned())));
        assert!(schema.rpc("PortalService/ListBots").is_err());
    }

    #[test]
    fn reasons_have_a_meaning() {
        let meaning = Schema::own().meaning("CURSOR_EXPIRED").unwrap();
        assert_eq!(
            meaning,
            "Events after this cursor are no longer kept. OUT_OF_RANGE."
        );
        assert_eq!(Schema::own().meaning("NO_SUCH"), None);
    }
}
