//! What tests found, read from where it is kept: one by one, merged, or compared. All of it takes long, so it is not for the
//! aggregator's own thread.

use xcloud_proto::loadtest::v1::CompareLoadTestsResponse;

use super::{director::Director, merge, refusal::Refusal, registry::has_ended};
use crate::{
    compare::{arm::Arm, compare, question::Question, stats::power::Power, table},
    cost::volume::Volume,
    report::json::json,
    result::Run,
};

/// Most results merged or compared at once.
const MOST: usize = 256;
/// Most bytes of those.
const MOST_BYTES: u64 = 512 << 20;

impl Director {
    /// Results, in the order of the names.
    ///
    /// # Errors
    /// One is unknown, has no result, or is not kept any more.
    pub fn results(&self, ids: &[String]) -> Result<Vec<Run>, Refusal> {
        if ids.is_empty() || ids.len() > MOST {
            return Err(Refusal::Invalid(format!("name 1 to {MOST} tests")));
        }
        for id in ids {
            let (test, _) = self.watch(id)?;
            if !has_ended(&test) {
                return Err(Refusal::Busy(format!("test {id} still runs")));
            }
            if !test.has_result {
                return Err(Refusal::Busy(format!("test {id} has no result: {}", test.error)));
            }
        }
        let bytes: u64 = ids.iter().map(|id| self.keep.size(id)).sum();
        if bytes > MOST_BYTES {
            return Err(Refusal::Full(format!("that are {}; name fewer tests", Volume(bytes))));
        }
        let read =
            |id: &String| self.keep.run(id).map_err(|error| Refusal::Broken(format!("{error:#}")));
        ids.iter().map(read).collect()
    }

    /// Results as one run.
    ///
    /// # Errors
    /// As for [`Self::results`].
    pub fn merged(&self, ids: &[String], label: &str) -> Result<Run, Refusal> {
        let runs = self.results(ids)?;
        let label = match (label, ids) {
            ("", [one]) => one.clone(),
            ("", many) => format!("{} load tests", many.len()),
            (label, _) => label.into(),
        };
        Ok(merge::merge(&label, runs))
    }

    /// What may be said about some tests beside others.
    ///
    /// # Errors
    /// As for [`Self::results`], or they have nothing in common.
    pub fn compared(
        &self,
        a: &[String],
        b: &[String],
    ) -> Result<CompareLoadTestsResponse, Refusal> {
        let (a, b) = (Arm::new(self.results(a)?), Arm::new(self.results(b)?));
        let report = compare(&a, &b, &Question::default(), &mut Power::default())
            .map_err(|error| Refusal::Busy(format!("{error:#}")))?;
        let json = json(&report).map_err(|error| Refusal::Broken(error.to_string()))?;
        Ok(CompareLoadTestsResponse { json, text: table::table(&report, false) })
    }
}
