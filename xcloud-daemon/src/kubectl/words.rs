//! Which commands make sense against a cluster's aggregator. No I/O.

use std::env;

use anyhow::Result;

use crate::usage::usage;

/// Commands that ask an aggregator.
pub(super) const COMMANDS: [&str; 6] = ["split", "observe", "top", "nodes", "cost", "load"];
/// Those of `load`.
pub(super) const LOAD_COMMANDS: [&str; 6] =
    ["run", "suite", "endpoints", "tests", "cancel", "export"];
/// Flags and variables with which the command talks TLS.
const TLS: [(&str, &str); 2] = [("--tls-ca", "XCLOUD_TLS_CA"), ("--tls-cert", "XCLOUD_TLS_CERT")];

/// Whether a command makes sense.
///
/// # Errors
/// It asks no aggregator, or another.
pub(super) fn check(words: &[String]) -> Result<()> {
    let (command, rest) = words.split_first().map_or(("", words), |(one, rest)| (&**one, rest));
    if !COMMANDS.contains(&command) {
        return Err(usage(format!(
            "{command:?} asks no aggregator in a cluster; {} do",
            COMMANDS.join(", ")
        )));
    }
    let load = rest.first().map_or("", String::as_str);
    let is_flag_or_nothing = load.is_empty() || load.starts_with('-');
    if command == "load" && !is_flag_or_nothing && !LOAD_COMMANDS.contains(&load) {
        return Err(usage(format!(
            "\"load {load}\" asks no aggregator in a cluster; load {} do",
            LOAD_COMMANDS.join(", load ")
        )));
    }
    if rest.iter().any(|word| is_flag(word, "--aggregator")) {
        return Err(usage(
            "--aggregator: kubectl xcloud finds the aggregator itself; xcloud asks another one",
        ));
    }
    Ok(())
}

/// Whether only an explanation is wanted, for which no cluster is needed.
pub(super) fn asks_for_help(words: &[String]) -> bool {
    words.iter().any(|word| word == "--help" || word == "-h") || words == ["load"]
}

/// Whether the command is to talk TLS to the aggregator.
pub(super) fn use_tls(words: &[String]) -> bool {
    let told = |flag| words.iter().any(|word| is_flag(word, flag));
    TLS.iter().any(|(flag, variable)| told(flag) || env::var_os(variable).is_some())
}

fn is_flag(word: &str, flag: &str) -> bool {
    word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn commands_that_ask_an_aggregator_pass() {
        for command in [
            "split -o json",
            "observe -n 5",
            "top",
            "nodes",
            "load run --from a",
            "load suite crosscloud --dry-run",
            "load",
        ] {
            check(&words(command)).expect(command);
        }
        for (wrong, says) in [
            ("agent", "\"agent\" asks no aggregator"),
            ("load http http://a", "\"load http\" asks no aggregator"),
            ("split --aggregator=1.2.3.4:5", "finds the aggregator itself"),
        ] {
            let error = check(&words(wrong)).expect_err(wrong);
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.is::<crate::usage::UsageError>());
        }
    }

    #[test]
    fn help_and_tls_are_seen_among_the_flags() {
        assert!(asks_for_help(&words("load run --help")) && !asks_for_help(&words("split")));
        assert!(use_tls(&words("split --tls-ca=/a")) && !use_tls(&words("split --tls-cabinet")));
    }
}
