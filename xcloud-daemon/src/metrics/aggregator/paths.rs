//! Paths: their histograms and how many exchanges are in them.

use std::iter;

use super::super::{Sample, Sink, Value, family, family::Family};
use crate::{
    measure::{
        cell::Counts,
        cumulative::{Cumulative, Series},
        store::Path,
        tier::LABELS,
    },
    wire::server::Hub,
};

/// Paths copied in one go, so that nobody waits long for the lock.
const AT_ONCE: usize = 200;

/// Near and far place, and kind.
type Labels = Vec<String>;

/// Tells of all paths that have series of their own, and of the rest in sum.
pub(super) fn tell(hub: &Hub, sink: &mut dyn Sink) {
    let paths = hub.read(|state| state.store().cumulative().map(Cumulative::paths));
    let all = Paths { hub, paths: paths.unwrap_or_default() };
    let times = |series: &Series| series.total.clone();
    all.tell(sink, &family::EXCHANGE, times, |total, one| one(&[], Value::Times(&total)));
    let times = |series: &Series| -> Vec<_> {
        series.segments().map(|(segment, times)| (segment, times.clone())).collect()
    };
    all.tell(sink, &family::DATAPATH, times, |segments, one| {
        for (segment, times) in segments {
            one(&[segment.name()], Value::Times(&times));
        }
    });
    let counts = |series: &Series| series.counts;
    all.tell(sink, &family::PATH_EXCHANGES, counts, |counts, one| {
        for (outcome, count) in outcomes(&counts) {
            one(&[outcome], Value::Count(count));
        }
    });
    all.tell(sink, &family::REPRESENTED, counts, |counts, one| {
        one(&[], Value::Count(counts.stands_for));
    });
    all.tell(sink, &family::NEGATIVE_WAN, counts, |counts, one| {
        one(&[], Value::Count(counts.negative_wan));
    });
}

const fn outcomes(counts: &Counts) -> [(&'static str, u64); 5] {
    [
        ("recorded", counts.recorded),
        ("near_alone", counts.near_alone),
        ("far_alone", counts.far_alone),
        ("thinned", counts.thinned),
        ("other_answer", counts.other_answer),
    ]
}

struct Paths<'a> {
    hub: &'a Hub,
    paths: Vec<Path>,
}

impl Paths<'_> {
    /// A family: what `pick` copies of each path, as samples that `give` makes of it with more labels.
    fn tell<T>(
        &self,
        sink: &mut dyn Sink,
        family: &'static Family,
        pick: impl Fn(&Series) -> T,
        give: impl Fn(T, &mut dyn FnMut(&[&str], Value<'_>)),
    ) {
        sink.family(family);
        let own = self.paths.chunks(AT_ONCE).map(|chunk| self.copied(chunk, &pick));
        let rest = iter::once_with(|| self.rest(&pick));
        for (path, since_ns, picked) in own.chain(rest).flatten() {
            give(picked, &mut |more, value| {
                let labels: Vec<_> =
                    path.iter().map(AsRef::as_ref).chain(more.iter().copied()).collect();
                sink.sample(Sample { labels: &labels, since_ns, value });
            });
        }
    }

    fn copied<T>(&self, chunk: &[Path], pick: &impl Fn(&Series) -> T) -> Vec<(Labels, u64, T)> {
        self.hub.read(|state| {
            let sums = state.store().cumulative();
            let one = |path: &Path| {
                let sums = sums?;
                let series = sums.path(path)?;
                let (near, far) =
                    (sums.tiers().labels(Some(path.near)), sums.tiers().labels(path.far));
                Some((labels(near, far, path.kind.name()), series.since_ns, pick(series)))
            };
            chunk.iter().filter_map(one).collect()
        })
    }

    /// What there was no room for.
    fn rest<T>(&self, pick: &impl Fn(&Series) -> T) -> Vec<(Labels, u64, T)> {
        self.hub.read(|state| {
            let Some(sums) = state.store().cumulative() else { return Vec::new() };
            let place = sums.tiers().tier().all("other");
            let used = sums.other().filter(|(_, series)| series.counts != Counts::default());
            let one = |(kind, series): (crate::measure::Kind, &Series)| {
                (labels(place, place, kind.name()), series.since_ns, pick(series))
            };
            used.map(one).collect()
        })
    }
}

fn labels(near: [&str; LABELS], far: [&str; LABELS], kind: &str) -> Labels {
    near.into_iter().chain(far).chain([kind]).map(String::from).collect()
}
