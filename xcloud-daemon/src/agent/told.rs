//! What the aggregator is told of hooks and pods, cut to what it takes.

use xcloud_proto::{common::v1::PodView, ingest::v1::Status};

use crate::{
    escape::{clean, cut},
    wire::limits::{LONGEST_LABEL, LONGEST_SENTENCE, MOST_TEXT, hook_size, pod_size},
};

/// Bytes left for the lines that say how much is left out.
const NOTICES: usize = 256;

/// As many lines and pods as fit, the first ones, and how many more there are.
#[must_use]
pub fn status(lines: &[String], pods: Vec<PodView>) -> Status {
    let lines = lines.iter().map(|line| cut(&clean(line), LONGEST_LABEL)).collect();
    let pods = pods.into_iter().map(|PodView { interface, place, why }| PodView {
        interface: cut(&clean(&interface), LONGEST_LABEL),
        place,
        why: cut(&clean(&why), LONGEST_SENTENCE),
    });
    let (mut hooks, hooks_left) = fitting(lines, MOST_TEXT - NOTICES, |line| hook_size(line));
    let pods = pods.collect();
    let (pods, pods_left) = fitting(pods, MOST_TEXT, |pod| pod_size(&pod.interface, &pod.why));
    for (left_out, what) in [(hooks_left, "hooks"), (pods_left, "pods")] {
        if left_out > 0 {
            hooks.insert(0, format!("{left_out} {what} more than are listed"));
        }
    }
    Status { hooks, pods, ..Status::default() }
}

/// The first that fit into so many bytes, and how many do not.
fn fitting<T>(mut all: Vec<T>, bytes: usize, size: impl Fn(&T) -> usize) -> (Vec<T>, usize) {
    let mut taken = 0;
    let fits = |one: &&T| {
        taken += size(one);
        taken <= bytes
    };
    let fitting = all.iter().take_while(fits).count();
    let left_out = all.len() - fitting;
    all.truncate(fitting);
    (all, left_out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::ingest;

    #[test]
    fn a_line_that_is_too_long_is_cut_between_characters() {
        let long = format!("tun0: cannot attach: {}", "\u{1b}é".repeat(200));
        let told = status(&[long, "short".into()], vec![]);
        assert!(told.hooks[0].len() <= LONGEST_LABEL && told.hooks[0].ends_with('…'));
        assert_eq!(told.hooks[1], "short");
    }

    #[test]
    fn a_reason_is_cut_by_bytes() {
        let why = "日".repeat(400);
        let pod = PodView { interface: "veth1".into(), place: 1, why };
        let told = status(&[], vec![pod]);
        assert!(told.pods[0].why.len() <= LONGEST_SENTENCE && told.pods[0].why.ends_with('…'));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let lines: Vec<_> = (0..1_000).map(|n| format!("{n:200}")).collect();
        let pod = PodView { interface: "veth1".into(), place: 1, why: "x".repeat(1_000) };
        let told = status(&lines, vec![pod; 100]);
        let kept = (told.hooks.len() - 2, told.pods.len());
        assert_eq!(told.hooks[0], format!("{} pods more than are listed", 100 - kept.1));
        assert_eq!(told.hooks[1], format!("{} hooks more than are listed", 1_000 - kept.0));
        assert_eq!(told.hooks[2].trim(), "0", "the first ones stay");
        assert!(kept.0 > 200 && kept.1 > 50, "{kept:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10))]
        #[test]
        fn whatever_is_told_the_aggregator_takes(
            lines in prop::collection::vec("\\PC{0,300}|.{0,300}", 0..400),
            pods in prop::collection::vec(("\\PC{0,300}", "\\PC{0,1200}"), 0..120),
        ) {
            let pods = pods.into_iter().map(|(interface, why)| PodView { interface, place: 1, why });
            prop_assert_eq!(ingest::status(status(&lines, pods.collect())).err(), None);
        }
    }
}
