//! Something at the gateway's address that is not ready yet, in both ways a client can see it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bitrix24_gateway::proto::v1::{
    GetServerInfoRequest, GetServerInfoResponse,
    server_service_server::{ServerService, ServerServiceServer},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// Breaks the first connection, refuses the first call, then tells a version.
pub(crate) struct Unready {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Unready {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let service = ServerServiceServer::new(Service(Arc::clone(&calls)));
        tokio::spawn(async move {
            drop(listener.accept().await.unwrap());
            let connections = TcpListenerStream::new(listener);
            let server = Server::builder().add_service(service);
            server.serve_with_incoming(connections).await.unwrap();
        });
        Self { address, calls }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

struct Service(Arc<AtomicUsize>);

#[tonic::async_trait]
impl ServerService for Service {
    async fn get_server_info(
        &self,
        _: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(Status::unavailable("not ready"));
        }
        Ok(Response::new(GetServerInfoResponse {
            version: "9.8.7".to_owned(),
            ..GetServerInfoResponse::default()
        }))
    }
}
