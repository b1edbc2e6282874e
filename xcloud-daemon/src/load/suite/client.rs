//! The aggregator's load tests, asked for one at a time.

use anyhow::Result;
use tonic::{Status, Streaming, transport::Channel};
use xcloud_proto::loadtest::v1::{
    CancelLoadTestRequest, CreateLoadTestRequest, Estimate, ListEndpointsRequest, LoadTest,
    LoadTestSpec, WatchLoadTestRequest, WatchLoadTestResponse,
    load_test_service_client::LoadTestServiceClient,
};

use super::ends::Ends;
use crate::{cli::Address, loadtest::ask::export, result::Run, wire::connect};

/// A connection to the aggregator.
#[derive(Clone, Debug)]
pub(super) struct Client {
    tests: LoadTestServiceClient<Channel>,
    address: Address,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody answers there.
    pub(super) async fn connect(address: &Address) -> Result<Self> {
        Ok(Self { tests: connect::load_tests(address).await?, address: address.clone() })
    }

    /// What the aggregator said instead of an answer.
    pub(super) fn answered<T>(&self, call: Result<T, Status>) -> Result<T> {
        connect::answered(call, &self.address)
    }

    /// The endpoints that there are now.
    pub(super) async fn ends(&mut self) -> Result<Ends, Status> {
        let answer = self.tests.list_endpoints(ListEndpointsRequest {}).await?;
        Ok(Ends::new(answer.into_inner().endpoints))
    }

    /// What a test would move and cost; an error if it would be refused.
    pub(super) async fn estimate(&mut self, spec: LoadTestSpec) -> Result<Estimate, Status> {
        let test = self.create(spec, true).await?;
        Ok(test.estimate.unwrap_or_default())
    }

    /// Starts a test.
    pub(super) async fn start(&mut self, spec: LoadTestSpec) -> Result<LoadTest, Status> {
        self.create(spec, false).await
    }

    async fn create(&mut self, spec: LoadTestSpec, only: bool) -> Result<LoadTest, Status> {
        let request = CreateLoadTestRequest { spec: Some(spec), validate_only: only };
        let answer = self.tests.create_load_test(request).await?;
        answer.into_inner().test.ok_or_else(|| Status::internal("the answer holds no test"))
    }

    /// Follows a test.
    pub(super) async fn watch(
        &mut self,
        id: &str,
    ) -> Result<Streaming<WatchLoadTestResponse>, Status> {
        let request = WatchLoadTestRequest { id: id.into() };
        Ok(self.tests.watch_load_test(request).await?.into_inner())
    }

    /// Ends a test.
    pub(super) async fn cancel(&mut self, id: &str) -> Result<(), Status> {
        self.tests.cancel_load_test(CancelLoadTestRequest { id: id.into() }).await.map(drop)
    }

    /// What a test found.
    pub(super) async fn export(&mut self, id: &str, label: &str) -> Result<Run> {
        export::fetch(&mut self.tests, &self.address, vec![id.into()], label).await
    }
}
