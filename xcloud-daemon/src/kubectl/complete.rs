//! What may come next on the command line: kubectl runs `kubectl_complete-xcloud WORD... BEGUN` and reads a line for each
//! possibility. No I/O.

use clap::{Arg, Command, CommandFactory as _};

use super::words::{COMMANDS, LOAD_COMMANDS};
use crate::cli::{Cli, kubectl::KubectlArgs};

/// Tells kubectl's shell script that files are no possibility.
const NO_FILES: &str = ":4\n";

/// The possibilities for the last word, as kubectl reads them.
pub(super) fn complete(words: &[String]) -> String {
    let (begun, before) = words.split_last().map_or(("", words), |(last, rest)| (&**last, rest));
    let mut lines: Vec<String> =
        possible(before, begun).into_iter().filter(|one| one.starts_with(begun)).collect();
    lines.sort_unstable();
    lines.dedup();
    lines.into_iter().map(|line| line + "\n").collect::<String>() + NO_FILES
}

fn possible(before: &[String], begun: &str) -> Vec<String> {
    let mut ours = KubectlArgs::command();
    ours.build();
    let at = command_at(&ours, before);
    let Some((name, rest)) = before[at..].split_first() else {
        let flag = last_flag(&ours, before);
        return flag.map_or_else(|| with_flags(&COMMANDS, &ours, begun), values);
    };
    let mut all = Cli::command();
    all.build();
    let Some(mut command) = all.find_subcommand(name).filter(|_| COMMANDS.contains(&&**name))
    else {
        return Vec::new();
    };
    let mut below: &[&str] = if name == "load" { &LOAD_COMMANDS } else { &[] };
    for word in rest {
        if let Some(inner) = command.find_subcommand(word).filter(|_| below.contains(&&**word)) {
            (command, below) = (inner, &[]);
        }
    }
    last_flag(command, rest).map_or_else(|| with_flags(below, command, begun), values)
}

/// Where the command is among the words, behind our own flags and their values.
fn command_at(ours: &Command, words: &[String]) -> usize {
    let mut at = 0;
    while words.get(at).is_some_and(|word| word.starts_with('-')) {
        at += if last_flag(ours, &words[..=at]).is_some() { 2 } else { 1 };
    }
    at.min(words.len())
}

/// The flag whose value comes next, if the last word is one.
fn last_flag<'a>(command: &'a Command, words: &[String]) -> Option<&'a Arg> {
    let word = words.last()?;
    let is = |arg: &&Arg| {
        let long = arg.get_long().is_some_and(|long| word.strip_prefix("--") == Some(long));
        let short = |short: char| word.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]));
        long || arg.get_short().is_some_and(short)
    };
    let mut flags = command.get_arguments().filter(|arg| arg.get_action().takes_values());
    flags.find(is)
}

fn values(flag: &Arg) -> Vec<String> {
    flag.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
}

/// Commands, and flags once a dash is typed.
fn with_flags(commands: &[&str], command: &Command, begun: &str) -> Vec<String> {
    let flags = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let flags = flags.filter_map(|arg| Some(format!("--{}", arg.get_long()?)));
    let flags = flags.filter(|flag| begun.starts_with('-') && flag != "--aggregator");
    commands.iter().map(|name| (*name).to_owned()).chain(flags).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str) -> String {
        let words: Vec<_> = line.split(' ').map(String::from).collect();
        complete(&words).replace('\n', " ")
    }

    #[test]
    fn commands_flags_and_values_are_completed() {
        assert_eq!(completed("s"), "split :4 ");
        assert_eq!(completed("-n x --context y load t"), "tests :4 ");
        assert_eq!(completed("--na"), "--namespace :4 ");
        assert_eq!(completed("split -o "), "csv json table :4 ");
        assert_eq!(completed("split --group-by re"), "region :4 ");
        assert_eq!(completed("top --on"), "--once :4 ");
        assert_eq!(completed("top --aggr"), ":4 ");
        assert_eq!(completed("--context "), ":4 ");
        assert_eq!(completed("agent --"), ":4 ");
    }
}
