//! An aggregator of load tests, as far as the matrix asks it.

use std::{net::SocketAddr, sync::mpsc, thread};

use tokio::runtime::Builder;
use tokio_stream::{Empty, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};
use xcloud_proto::loadtest::v1::{
    self, LoadEndpoint,
    load_test_service_server::{LoadTestService, LoadTestServiceServer},
};

/// An aggregator that knows endpoints and nothing else.
struct Aggregator(Vec<LoadEndpoint>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl LoadTestService for Aggregator {
    type WatchLoadTestStream = Empty<Result<v1::WatchLoadTestResponse, Status>>;
    type ExportLoadTestsStream = Empty<Result<v1::ExportLoadTestsResponse, Status>>;

    async fn list_endpoints(
        &self,
        _: Request<v1::ListEndpointsRequest>,
    ) -> Answer<v1::ListEndpointsResponse> {
        Ok(Response::new(v1::ListEndpointsResponse { endpoints: self.0.clone() }))
    }

    async fn create_load_test(
        &self,
        _: Request<v1::CreateLoadTestRequest>,
    ) -> Answer<v1::CreateLoadTestResponse> {
        Err(Status::permission_denied(""))
    }

    async fn watch_load_test(
        &self,
        _: Request<v1::WatchLoadTestRequest>,
    ) -> Answer<Self::WatchLoadTestStream> {
        Err(Status::not_found(""))
    }

    async fn cancel_load_test(
        &self,
        _: Request<v1::CancelLoadTestRequest>,
    ) -> Answer<v1::CancelLoadTestResponse> {
        Err(Status::not_found(""))
    }

    async fn list_load_tests(
        &self,
        _: Request<v1::ListLoadTestsRequest>,
    ) -> Answer<v1::ListLoadTestsResponse> {
        Ok(Response::new(v1::ListLoadTestsResponse::default()))
    }

    async fn export_load_tests(
        &self,
        _: Request<v1::ExportLoadTestsRequest>,
    ) -> Answer<Self::ExportLoadTestsStream> {
        Err(Status::not_found(""))
    }

    async fn compare_load_tests(
        &self,
        _: Request<v1::CompareLoadTestsRequest>,
    ) -> Answer<v1::CompareLoadTestsResponse> {
        Err(Status::not_found(""))
    }
}

/// An aggregator's address; it is there as long as the test.
pub(crate) fn aggregator(endpoints: Vec<LoadEndpoint>) -> SocketAddr {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            send.send(listener.local_addr().expect("bound")).expect("awaited");
            Server::builder()
                .add_service(LoadTestServiceServer::new(Aggregator(endpoints)))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
        })
    });
    receive.recv().expect("it listens")
}
