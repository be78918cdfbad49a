//! A gateway that was reached and has said what its API is.

use std::time::Duration;

use hyper::http::uri::PathAndQuery;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tokio::time::timeout;
use tonic::{Status, Streaming, client::Grpc};

use super::{
    Connection, Failure, Schema, Unreached, Way, codec::Dynamic, failure::is_foreign,
    schema::full_name,
};

/// The largest message taken, bytes: more than any gateway sends.
const LARGEST: usize = 64 << 20;

/// A gateway that was reached, and its API. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Session {
    connection: Connection,
    schema: Schema,
}

/// Why it goes no further.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The gateway is not reached.
    #[error(transparent)]
    Unreached(#[from] Unreached),
    /// The gateway says no, or was lost.
    #[error(transparent)]
    Failed(Box<Failure>),
}

/// What an RPC answers.
#[derive(Debug)]
pub struct Answers {
    stream: Streaming<DynamicMessage>,
    session: Session,
}

impl Session {
    /// Connects, and asks for the API.
    ///
    /// # Errors
    ///
    /// The gateway is not reached, or does not tell.
    pub async fn open(way: &Way) -> Result<Self, Refused> {
        let connection = way.connect().await?;
        let target = || way.target.clone();
        match timeout(way.patience, Schema::of(&connection)).await {
            Ok(Ok(schema)) => Ok(Self { connection, schema }),
            Ok(Err(status)) if is_foreign(&status) => Err(Unreached::NotGrpc(target()).into()),
            Ok(Err(status)) => Err(refused(&status, None)),
            Err(_) => Err(Refused::Unreached(Unreached::Late {
                target: target(),
                patience: way.patience,
            })),
        }
    }

    /// The API.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Calls an RPC that takes one request; one that answers once does so in a stream of one.
    ///
    /// # Errors
    ///
    /// The gateway says no, or was lost.
    pub async fn call(
        &self,
        rpc: &MethodDescriptor,
        request: DynamicMessage,
        deadline: Option<Duration>,
    ) -> Result<Answers, Refused> {
        match self.begin(rpc, request, deadline).await {
            Ok(stream) => Ok(Answers {
                stream,
                session: self.clone(),
            }),
            Err(status) => Err(self.refused(&status)),
        }
    }

    async fn begin(
        &self,
        rpc: &MethodDescriptor,
        request: DynamicMessage,
        deadline: Option<Duration>,
    ) -> Result<Streaming<DynamicMessage>, Status> {
        let channel = self.connection.channel.clone();
        let mut client = Grpc::new(channel).max_decoding_message_size(LARGEST);
        let ready = client.ready().await;
        ready.map_err(|error| Status::from_error(error.into()))?;
        let path = PathAndQuery::try_from(format!("/{}", full_name(rpc)))
            .map_err(|error| Status::internal(error.to_string()))?;
        let mut request = self.connection.request(request);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        let codec = Dynamic::of(rpc);
        let answers = client.server_streaming(request, path, codec).await?;
        Ok(answers.into_inner())
    }

    fn refused(&self, status: &Status) -> Refused {
        refused(status, Some(&self.schema))
    }
}

impl Answers {
    /// The next one; `None` after the last.
    ///
    /// # Errors
    ///
    /// The gateway says no, or was lost.
    pub async fn next(&mut self) -> Result<Option<DynamicMessage>, Refused> {
        let next = self.stream.message().await;
        next.map_err(|status| self.session.refused(&status))
    }
}

fn refused(status: &Status, schema: Option<&Schema>) -> Refused {
    Refused::Failed(Box::new(Failure::of(status, schema)))
}
