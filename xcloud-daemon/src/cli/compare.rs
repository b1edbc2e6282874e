//! `xcloud compare`.

use clap::Args;

use super::Output;

/// `xcloud compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// Run to compare with: a file, several with commas between, or a directory of them; results of xcloud, or output of
    /// iperf3 -J, wrk, wrk2, oha or fortio
    pub a: String,
    /// Run that may be better or worse, likewise
    pub b: String,
    /// Compare only this figure or distribution, e.g. throughput, response or response:p99; may be repeated
    #[arg(long = "metric", value_name = "NAME")]
    pub metrics: Vec<String>,
    /// Chance of even one false alarm among all comparisons
    #[arg(long, default_value_t = 0.05)]
    pub alpha: f64,
    /// Differences below this share do not matter: say "equivalent" where they are shown to be smaller
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    pub equiv: Option<f64>,
    /// Say how many trials it takes to find a difference of this share
    #[arg(long, default_value = "5%", value_name = "PERCENT", value_parser = share)]
    pub effect: f64,
    /// Bootstrap replicates of each distribution
    #[arg(long, default_value_t = 2_000, value_name = "COUNT")]
    pub bootstrap: usize,
    /// Where the random numbers start; the same seed gives the same answer
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The i-th trials of both runs, in the order of time, were made under the same conditions
    #[arg(long)]
    pub paired: bool,
    /// Format
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// A share given as `5%` or `0.05`.
fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 0.01));
    let share = number.trim().parse::<f64>().map(|number| number * scale);
    share
        .ok()
        .filter(|share| *share > 0.0 && *share < 1.0)
        .ok_or_else(|| format!("{text:?} is no share between 0 and 1, as in 5% or 0.05"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percent_or_plain() {
        assert_eq!(share("5%"), Ok(0.05));
        assert_eq!(share("0.05"), Ok(0.05));
        for wrong in ["5", "0%", "-1%", "five", "NaN", "%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
