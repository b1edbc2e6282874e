//! Why something is not done, and how that is told.

use tonic::Status;

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It makes no sense.
    Invalid(String),
    /// It is not allowed.
    Denied(String),
    /// There is no such thing.
    Unknown(String),
    /// Not now.
    Busy(String),
    /// There are too many already.
    Full(String),
    /// Something of the aggregator's own failed.
    Broken(String),
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(why) => Self::invalid_argument(why),
            Refusal::Denied(why) => Self::permission_denied(why),
            Refusal::Unknown(why) => Self::not_found(why),
            Refusal::Busy(why) => Self::failed_precondition(why),
            Refusal::Full(why) => Self::resource_exhausted(why),
            Refusal::Broken(why) => Self::internal(why),
        }
    }
}
