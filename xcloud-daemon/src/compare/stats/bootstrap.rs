//! The two-level bootstrap: trials are drawn anew with replacement, and within each the blocks of seconds that follow each
//! other. What belongs together stays together, so neither the spread between trials nor the memory of a connection is
//! taken for independent requests.

use super::{Design, grid::Grid, interval::Interval, normal, random::Random, student};

/// Quantiles of both arms in each replicate: `replicates[i][arm][quantile]`.
pub type Replicates = Vec<[Vec<f64>; 2]>;

/// Draws both arms anew, `count` times.
#[must_use]
pub fn replicates(
    grid: &Grid,
    design: Design,
    quantiles: &[f64],
    count: usize,
    random: &mut Random,
) -> Replicates {
    let mut sum = grid.nothing();
    let mut one = || {
        let trials = grid.arms.each_ref().map(|arm| draw(arm.len(), random));
        [0, 1].map(|arm| {
            let chosen = if design == Design::Paired { &trials[0] } else { &trials[arm] };
            sum.fill(0);
            chosen
                .iter()
                .for_each(|trial| resample(&mut sum, &grid.arms[arm][*trial].parts, random));
            grid.quantiles(&sum, quantiles)
        })
    };
    (0..count).map(|_| one()).collect()
}

fn draw(of: usize, random: &mut Random) -> Vec<usize> {
    (0..of).map(|_| random.below(of)).collect()
}

/// Adds as many parts as there are, in moving blocks of the cube root of their number.
fn resample(sum: &mut [u64], parts: &[Vec<(usize, u64)>], random: &mut Random) {
    let block = (1..).find(|length| length * length * length >= parts.len()).unwrap_or(1);
    let mut missing = parts.len();
    while missing > 0 {
        let from = random.below(parts.len() + 1 - block);
        for (place, count) in parts[from..from + block.min(missing)].iter().flatten() {
            sum[*place] += count;
        }
        missing = missing.saturating_sub(block);
    }
}

/// The percentile interval of replicates, wider by what few trials are known to make it too narrow (Hesterberg's expanded
/// percentile interval). `None` when an arm has a single trial, whose spread nobody knows.
#[must_use]
pub fn interval(
    mut replicates: Vec<f64>,
    trials: [usize; 2],
    design: Design,
    alpha: f64,
) -> Option<Interval> {
    let fewest = trials[0].min(trials[1]);
    if fewest < 2 || replicates.is_empty() {
        return None;
    }
    let freedom = match design {
        Design::Unpaired => trials[0] + trials[1] - 2,
        Design::Paired => fewest - 1,
    };
    let t = student::quantile(alpha / 2.0, u32::try_from(freedom.min(1_000)).unwrap_or(1_000));
    let tail = normal::cdf(t * (fewest as f64 / (fewest as f64 - 1.0)).sqrt());
    replicates.sort_unstable_by(f64::total_cmp);
    let last = replicates.len() - 1;
    let at = |share: f64| {
        let place = share * last as f64;
        let below = replicates[floor(place, last)];
        let above = replicates[floor(place + 1.0, last)];
        below + (above - below) * place.fract()
    };
    Some(Interval { low: at(tail), high: at(1.0 - tail) })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not below 0, and limited"
)]
fn floor(place: f64, last: usize) -> usize {
    (place as usize).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::stats::grid::{Counts, tests::counts};

    fn grid(trials: &[Vec<Counts>]) -> Grid {
        Grid::new([trials, trials])
    }

    fn medians(grid: &Grid, design: Design) -> Vec<[f64; 2]> {
        let all = replicates(grid, design, &[0.5], 200, &mut Random::new(1));
        all.into_iter().map(|[a, b]| [a[0], b[0]]).collect()
    }

    #[test]
    fn trials_without_spread_give_replicates_without() {
        let grid = grid(&vec![vec![counts(&[100]); 5]; 4]);
        assert!(medians(&grid, Design::Unpaired).iter().all(|both| *both == [100.0, 100.0]));
    }

    #[test]
    fn whole_trials_are_drawn_not_values() {
        // Within a trial all values are alike; a bootstrap over values would hardly ever see but the middle trial's.
        let trials: Vec<_> = [100, 200, 300].map(|ns| vec![counts(&[ns; 50])]).to_vec();
        let medians = medians(&grid(&trials), Design::Unpaired);
        let lowest = medians.iter().filter(|both| both[0] == 100.0).count();
        // At least two of three draws are of the lowest: 7 of 27.
        assert!((30..75).contains(&lowest), "{lowest}");
    }

    #[test]
    fn pairs_are_drawn_together() {
        let trials: Vec<_> = [100, 200, 300].map(|ns| vec![counts(&[ns; 50])]).to_vec();
        let grid = grid(&trials);
        assert!(medians(&grid, Design::Paired).iter().all(|[a, b]| a == b));
        assert!(medians(&grid, Design::Unpaired).iter().any(|[a, b]| a != b));
    }

    #[test]
    fn neighbouring_seconds_stay_together() {
        let parts: Vec<Vec<(usize, u64)>> = (0..27).map(|place| vec![(place, 1)]).collect();
        let mut random = Random::new(1);
        for _ in 0..50 {
            let mut sum = vec![0; 27];
            resample(&mut sum, &parts, &mut random);
            assert_eq!(sum.iter().sum::<u64>(), 27);
            // Blocks of three: wherever one is, a neighbour is.
            let neighbour = |at: usize| at > 0 && sum[at - 1] > 0 || at < 26 && sum[at + 1] > 0;
            assert!((0..27).all(|at| sum[at] == 0 || neighbour(at)), "{sum:?}");
        }
    }

    #[test]
    fn fewer_trials_make_the_interval_wider() {
        let replicates: Vec<f64> = (0..=10_000).map(f64::from).collect();
        let width = |n: usize| {
            let interval =
                interval(replicates.clone(), [n, n], Design::Unpaired, 0.05).expect("one");
            interval.high - interval.low
        };
        assert!(
            width(3) > width(5) && width(5) > width(30) && (width(1_000) - 9_500.0).abs() < 10.0
        );
        assert_eq!(interval(replicates.clone(), [1, 9], Design::Unpaired, 0.05), None);
    }
}
