//! Endpoints wait here for their part: each stream opens with a hello, takes orders and brings reports. All they say is
//! taken as hostile.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};
use xcloud_proto::loadtest::v1::{
    AttendRequest, AttendResponse, Report, Welcome, attend_request::Message,
    attend_response::Message as Order, endpoint_service_server::EndpointService, report::News,
};

use super::{attendee::Attendee, cast::Ticket, director::Director, registry::ORDERS};
use crate::{
    access::{role::Role, speaker::Speaker},
    wire::answer,
};

/// How long a new stream may be silent.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Longest line of progress or reason, in bytes.
const LONGEST_LINE: usize = 8 << 10;
/// Answers on their way.
const ANSWERS: usize = 2 * ORDERS;

/// The service.
#[derive(Debug)]
pub struct Attendance {
    director: Arc<Director>,
}

impl Attendance {
    /// For a director.
    #[must_use]
    pub const fn new(director: Arc<Director>) -> Self {
        Self { director }
    }
}

type Answers = mpsc::Sender<Result<AttendResponse, Status>>;

#[tonic::async_trait]
impl EndpointService for Attendance {
    type AttendStream = ReceiverStream<Result<AttendResponse, Status>>;

    async fn attend(
        &self,
        request: Request<Streaming<AttendRequest>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        self.director.allowed()?;
        let speaker = Speaker::of(&request)?;
        let (answers, receiver) = mpsc::channel(ANSWERS);
        let director = Arc::clone(&self.director);
        tokio::spawn(async move {
            let requests = request.into_inner();
            if let Err(status) = converse(&director, &speaker, requests, &answers).await {
                speaker.tell(&status);
                // Whoever hung up does not want to know.
                let _ = answers.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// A seat that is given back however its stream ends.
struct Seated<'a> {
    director: &'a Director,
    ticket: Ticket,
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        self.director.leave(&self.ticket);
        tracing::info!(endpoint = self.ticket.name, "endpoint {:?} left", self.ticket.name);
    }
}

async fn converse(
    director: &Director,
    speaker: &Speaker,
    mut requests: Streaming<AttendRequest>,
    answers: &Answers,
) -> Result<(), Status> {
    let Some(attendee) = greeting(director, &mut requests).await? else { return Ok(()) };
    let site = answer::site(&attendee.site);
    speaker.may_be(&[Role::Agent, Role::Endpoint], &site, &attendee.name)?;
    let (name, address) = (attendee.name.clone(), attendee.address);
    let (sender, orders) = mpsc::channel(ORDERS);
    let ticket = director.join(attendee, sender)?;
    let seated = Seated { director, ticket };
    tracing::info!(endpoint = name, "endpoint {name:?} attends, reached at {address}");
    let welcome = AttendResponse { message: Some(Order::Welcome(Welcome {})) };
    if answers.send(Ok(welcome)).await.is_err() {
        return Ok(());
    }
    let mut orders = ReceiverStream::new(orders);
    loop {
        let report = tokio::select! {
            message = requests.message() => match message? {
                Some(AttendRequest { message: Some(Message::Report(report)) }) => report,
                Some(_) => return Err(Status::invalid_argument("only reports may follow the hello")),
                None => return Ok(()),
            },
            Some(order) = orders.next() => {
                // Whoever takes no orders is noticed by who gives them; here nothing waits for it.
                answers.try_send(Ok(order)).map_err(|_| Status::aborted("it takes no orders"))?;
                continue;
            }
            () = seated.ticket.gone.cancelled() => {
                return Err(Status::aborted(
                    "a newer stream of this endpoint has taken over, or it did not end its part",
                ));
            }
            () = director.stop.cancelled() => {
                return Err(Status::unavailable("the aggregator is stopping"));
            }
        };
        pass_on(director, &seated.ticket, report).await?;
    }
}

/// The hello, unless the endpoint hangs up first.
async fn greeting(
    director: &Director,
    requests: &mut Streaming<AttendRequest>,
) -> Result<Option<Attendee>, Status> {
    let first = tokio::select! {
        first = timeout(HELLO_WITHIN, requests.message()) => first,
        () = director.stop.cancelled() => {
            return Err(Status::unavailable("the aggregator is stopping"));
        }
    };
    let late = |_| Status::deadline_exceeded(format!("no hello came within {HELLO_WITHIN:?}"));
    match first.map_err(late)??.map(|request| request.message) {
        Some(Some(Message::Hello(hello))) => {
            Attendee::read(hello).map(Some).map_err(Status::invalid_argument)
        }
        Some(_) => Err(Status::invalid_argument("the first message must be a hello")),
        None => Ok(None),
    }
}

/// Passes a report on to who leads the test. One about a test that has ended, or another's, concerns nobody.
async fn pass_on(director: &Director, ticket: &Ticket, report: Report) -> Result<(), Status> {
    let Some(news) = report.news else {
        return Err(Status::invalid_argument("a report says nothing"));
    };
    match &news {
        News::Progress(line) | News::Failed(line) if line.len() > LONGEST_LINE => {
            return Err(Status::invalid_argument(format!(
                "a line has at most {LONGEST_LINE} bytes"
            )));
        }
        News::ReadyPort(port) if !(1..=65_535).contains(port) => {
            return Err(Status::invalid_argument(format!("{port} is no port")));
        }
        _ => {}
    }
    if let Some(reports) = director.reports(ticket, &report.test_id) {
        tokio::select! {
            // Who led the test may have gone by now.
            _ = reports.send(news) => {}
            () = ticket.gone.cancelled() => {}
        }
    }
    Ok(())
}
