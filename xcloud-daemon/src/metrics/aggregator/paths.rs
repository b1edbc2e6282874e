//! Paths: their histograms and how many exchanges are in them.

use std::{iter, sync::Arc};

use super::super::{Sample, Sink, Value, family, family::Family};
use crate::{
    measure::{
        Kind,
        cell::Counts,
        cumulative::{Cumulative, Key, Series},
        ends,
        tier::Labels,
    },
    wire::server::Hub,
};

/// Paths copied in one go, so that nobody waits long for the lock.
const AT_ONCE: usize = 200;

/// Near and far end, and kind.
type Place = (Arc<Labels>, Arc<Labels>, Kind);

/// Tells of all paths that have series of their own, and of the rest in sum.
pub(super) fn tell(hub: &Hub, sink: &mut dyn Sink) {
    let keys = hub.read(|state| state.store().cumulative().map(Cumulative::keys));
    let all = Paths { hub, keys: keys.unwrap_or_default() };
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
    keys: Vec<Key>,
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
        let own = self.keys.chunks(AT_ONCE).map(|chunk| self.copied(chunk, &pick));
        let rest = iter::once_with(|| self.rest(&pick));
        for ((near, far, kind), since_ns, picked) in own.chain(rest).flatten() {
            let path = near.iter().chain(far.iter()).map(String::as_str).chain([kind.name()]);
            let path: Vec<_> = path.collect();
            give(picked, &mut |more, value| {
                let labels = [&path[..], more].concat();
                sink.sample(Sample { labels: &labels, since_ns, value });
            });
        }
    }

    fn copied<T>(&self, chunk: &[Key], pick: &impl Fn(&Series) -> T) -> Vec<(Place, u64, T)> {
        self.hub.read(|state| {
            let Some(sums) = state.store().cumulative() else { return Vec::new() };
            let one = |key: &Key| Some(told(sums, key, sums.series(key)?, pick));
            chunk.iter().filter_map(one).collect()
        })
    }

    /// What there was no room for.
    fn rest<T>(&self, pick: &impl Fn(&Series) -> T) -> Vec<(Place, u64, T)> {
        self.hub.read(|state| {
            let Some(sums) = state.store().cumulative() else { return Vec::new() };
            let used = sums.other().filter(|(_, series)| series.counts != Counts::default());
            let one = |(kind, series): (Kind, &Series)| {
                told(sums, &Key { near: ends::OTHER, far: ends::OTHER, kind }, series, pick)
            };
            used.map(one).collect()
        })
    }
}

fn told<T>(
    sums: &Cumulative,
    key: &Key,
    series: &Series,
    pick: &impl Fn(&Series) -> T,
) -> (Place, u64, T) {
    let [near, far] = [key.near, key.far].map(|end| sums.ends().labels(end));
    ((near, far, key.kind), series.since_ns, pick(series))
}
