//! Who probes whom: every endpoint finds its own peers from the list that all have, without a word between them.
//!
//! Rendezvous hashing: each pair of endpoints has a score that depends on their names only. An endpoint probes the few
//! others with which its score is highest, so the number of pairs grows with the number of endpoints. Besides, of all
//! pairs between two sites the one with the highest score is probed by one of its ends, so that no pair of sites goes
//! unseen, however many sites there are.
//!
//! When an endpoint leaves, pairs of others stay as they are; each pair that it was part of is replaced by one at most.

use std::collections::BTreeMap;

use super::peers::Peer;

/// The peers that `me` probes, by name: `count` of all others, and its part of the pairs of sites. None if it is not in
/// the list.
#[must_use]
pub fn peers<'a>(all: &'a [Peer], me: &str, count: usize) -> Vec<&'a Peer> {
    let Some(own) = all.iter().find(|peer| peer.name == me) else {
        return Vec::new();
    };
    let mut others: Vec<_> = all.iter().filter(|peer| peer.name != me).collect();
    others.sort_by_cached_key(|peer| {
        (std::cmp::Reverse(mix(own.key(), peer.key())), peer.name.clone())
    });
    let mut chosen: BTreeMap<_, _> =
        others.iter().take(count).map(|peer| (peer.name.as_str(), *peer)).collect();
    chosen.extend(covers(all, own).into_iter().map(|peer| (peer.name.as_str(), peer)));
    chosen.into_values().collect()
}

/// A time of an interval that is a peer's own, so that probes of many do not leave at once.
#[must_use]
pub fn phase(me: &Peer, peer: &Peer, interval_ns: u64) -> u64 {
    mix(peer.key(), me.key()) % interval_ns.max(1)
}

/// Of the pairs that stand for two sites, the far ends of those that `own` probes.
fn covers<'a>(all: &'a [Peer], own: &Peer) -> Vec<&'a Peer> {
    let mut sites = BTreeMap::<_, Vec<_>>::new();
    for peer in all {
        sites.entry(peer.site.as_str()).or_default().push(peer);
    }
    let near = sites.remove(own.site.as_str()).unwrap_or_default();
    sites
        .into_values()
        .filter_map(|far| {
            let pairs = near.iter().flat_map(|one| far.iter().map(move |other| (one, other)));
            let (one, other) = pairs.max_by_key(|(one, other)| pair(one, other))?;
            (one.name == own.name && begins(one, other)).then_some(*other)
        })
        .collect()
}

/// The score of a pair, the same from both ends; names decide between equal ones.
fn pair<'a>(one: &'a Peer, other: &'a Peer) -> (u64, &'a str, &'a str) {
    let (low, high) = if one.name < other.name { (one, other) } else { (other, one) };
    (mix(low.key(), high.key()), &low.name, &high.name)
}

/// Which end of a pair probes: either, as the score's last bit says.
fn begins(one: &Peer, other: &Peer) -> bool {
    let (score, low, _) = pair(one, other);
    (score & 1 == 0) == (one.name == low)
}

/// Two numbers as one, in this order: two rounds of SplitMix64.
fn mix(one: u64, other: u64) -> u64 {
    let round = |mut bits: u64| {
        bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    round(round(one) ^ other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    /// Pairs by name, prober first.
    type Pairs = BTreeSet<(String, String)>;

    fn endpoints(of: impl IntoIterator<Item = (u32, u8)>) -> Vec<Peer> {
        let address = "127.0.0.1:862".parse().expect("an address");
        let peer = |(number, site)| {
            let (name, site) = (format!("node-{number}"), format!("cloud/region-{site}"));
            Peer::new(&name, &site, address).expect("an endpoint")
        };
        of.into_iter().map(peer).collect()
    }

    fn all(endpoints: &[Peer], count: usize) -> Pairs {
        let of = |me: &Peer| {
            peers(endpoints, &me.name, count)
                .into_iter()
                .map(|peer| (me.name.clone(), peer.name.clone()))
                .collect::<Vec<_>>()
        };
        endpoints.iter().flat_map(of).collect()
    }

    fn site<'a>(endpoints: &'a [Peer], name: &str) -> &'a str {
        &endpoints.iter().find(|peer| peer.name == name).expect("listed").site
    }

    fn lists() -> impl Strategy<Value = Vec<Peer>> {
        btree_map(any::<u32>(), 0u8..6, 1..40).prop_map(endpoints)
    }

    proptest! {
        #[test]
        fn every_pair_of_sites_is_probed(list in lists(), count in 0usize..5) {
            let seen: BTreeSet<_> = all(&list, count)
                .iter()
                .flat_map(|(from, to)| {
                    let (from, to) = (site(&list, from), site(&list, to));
                    [(from.to_owned(), to.to_owned()), (to.to_owned(), from.to_owned())]
                })
                .collect();
            let sites: BTreeSet<_> = list.iter().map(|peer| peer.site.clone()).collect();
            for one in &sites {
                for other in sites.iter().filter(|other| *other != one) {
                    prop_assert!(seen.contains(&(one.clone(), other.clone())), "{one} and {other}");
                }
            }
        }

        #[test]
        fn every_endpoint_probes_so_many_and_its_part_of_the_sites(list in lists(), count in 0usize..5) {
            let sites = list.iter().map(|peer| &peer.site).collect::<BTreeSet<_>>().len();
            let pairs = all(&list, count);
            for me in &list {
                let own = pairs.iter().filter(|(from, _)| *from == me.name).count();
                let least = count.min(list.len() - 1);
                prop_assert!((least..=least + sites - 1).contains(&own), "{own}");
                prop_assert!(!pairs.contains(&(me.name.clone(), me.name.clone())));
            }
            // Those for sites are no more than there are pairs of sites.
            let most = list.len() * count.min(list.len() - 1) + sites * (sites - 1) / 2;
            prop_assert!(pairs.len() <= most, "{} above {most}", pairs.len());
        }

        #[test]
        fn who_leaves_changes_its_own_pairs_only(list in lists(), gone: prop::sample::Index, count in 0usize..5) {
            let gone = gone.get(&list).name.clone();
            let before = all(&list, count);
            let rest: Vec<_> = list.iter().filter(|peer| peer.name != gone).cloned().collect();
            let after = all(&rest, count);
            let (of_gone, others): (Pairs, Pairs) =
                before.into_iter().partition(|(from, to)| *from == gone || *to == gone);
            prop_assert!(others.is_subset(&after), "a pair of others was given up");
            let new = after.difference(&others).count();
            // A pair for two sites may have been one of the few at the same time.
            let sites = list.iter().map(|peer| &peer.site).collect::<BTreeSet<_>>().len();
            prop_assert!(new <= of_gone.len() + sites, "{new} new ones for {}", of_gone.len());
        }

        #[test]
        fn the_order_of_the_list_is_of_no_matter(list in lists(), count in 0usize..5) {
            let mut turned = list.clone();
            turned.reverse();
            prop_assert_eq!(all(&list, count), all(&turned, count));
        }
    }

    #[test]
    fn every_endpoint_is_probed_by_about_so_many() {
        let list =
            endpoints((0..200).map(|number| (number, u8::try_from(number % 4).expect("small"))));
        let pairs = all(&list, 3);
        let probed = |peer: &Peer| pairs.iter().filter(|(_, to)| *to == peer.name).count();
        let mut counts: Vec<_> = list.iter().map(probed).collect();
        counts.sort_unstable();
        assert!((600..=606).contains(&pairs.len()), "{}", pairs.len());
        // As chance has it: Poisson's distribution of mean 3 has 5 % at 0 and 0.03 % above 10.
        assert_eq!(counts[100], 3);
        assert!(counts[199] <= 12 && counts[20] >= 1, "{counts:?}");
    }

    /// Written down, so that a new version chooses as the one beside it does.
    #[test]
    fn the_choice_stays_what_it_is() {
        let list =
            endpoints((0..9).map(|number| (number, u8::try_from(number % 3).expect("small"))));
        let names: Vec<_> =
            peers(&list, "node-0", 2).iter().map(|peer| peer.name.clone()).collect();
        assert_eq!(names, CHOSEN);
        assert_eq!(peers(&list, "node-9", 2), Vec::<&Peer>::new());
    }

    const CHOSEN: [&str; 2] = ["node-2", "node-8"];
}
