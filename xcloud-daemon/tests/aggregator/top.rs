//! `xcloud top` on a real terminal of tmux, against a real aggregator.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{Agent, Server, hello},
    services::two_clouds,
};

/// Longest wait for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of 80x24 with a shell; gone when dropped.
struct Terminal(String);

impl Terminal {
    /// None where there is no tmux.
    fn open(name: &str) -> Option<Self> {
        let terminal = Self(format!("xcloud-{name}-{}", std::process::id()));
        let found = Command::new("tmux").arg("-V").output().is_ok();
        if !found {
            assert!(std::env::var_os("CI").is_none(), "tmux is needed: cargo xtask setup");
            eprintln!("skipped: tmux is not installed; `cargo xtask setup` does that");
            return None;
        }
        terminal.tmux(&["new-session", "-d", "-x", "80", "-y", "24", "env PS1='ready$ ' sh"]);
        terminal.shows("ready$");
        Some(terminal)
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.0, "-f", "/dev/null"]).args(words);
        command.env("LC_ALL", "C.UTF-8").env("TERM", "screen-256color").env_remove("TMUX");
        // What this test runs under is not to tell `top` what to do.
        command.env_remove("NO_COLOR").env("SHELL", "/bin/sh");
        let output = command.output().expect("tmux runs");
        assert!(output.status.success(), "tmux {words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types a line.
    fn line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.key("Enter");
    }

    fn key(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn resize(&self, columns: &str, lines: &str) {
        self.tmux(&["resize-window", "-x", columns, "-y", lines]);
    }

    /// The screen, once it shows this.
    fn shows(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            if screen.contains(text) {
                return screen;
            }
            assert!(start.elapsed() < PATIENCE, "{text:?} is not on the screen:\n{screen}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.0, "kill-server"]).output();
    }
}

fn top(address: impl std::fmt::Display) -> String {
    let program = env!("CARGO_BIN_EXE_xcloud");
    format!("{program} top --aggregator {address} --interval 200ms")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_shows_paths_goes_into_them_and_leaves_the_terminal_as_it_was() {
    let Some(terminal) = Terminal::open("top") else { return };
    let server = Server::start().await;
    let _agents = two_clouds(&server).await;
    terminal.line("echo before; stty -g > /dev/null");
    terminal.line(&format!("{}; echo ended $?", top(server.socket())));
    // A screen is written from its top to its bottom.
    let list = terminal.shows("1-2 of 2, by p99");
    for shown in ["live", "nodes: 2, 2 connected", "aws a -> gcp b ack", "█", "40.4 us"] {
        assert!(list.contains(shown), "{shown}:\n{list}");
    }
    assert!(!list.contains("before"), "{list}");
    terminal.key("Enter");
    terminal.shows("near CNI egress");
    terminal.shows("p99 = 40.400 us = 0.440 CNI + 0.110 queue");
    terminal.key("Escape");
    terminal.shows("1-2 of 2");
    terminal.line("/response");
    terminal.shows("1-1 of 1 with response");
    terminal.key("p");
    terminal.shows("PAUSED");
    terminal.key("p");
    terminal.shows("live");
    terminal.key("?");
    terminal.shows("stand still; go on");
    terminal.key("x");
    terminal.resize("50", "10");
    terminal.shows("needs a terminal of 60x15");
    terminal.resize("130", "30");
    terminal.shows("history");
    terminal.key("q");
    let after = terminal.shows("ended 0");
    assert!(after.contains("before"), "the screen from before is back:\n{after}");
    terminal.line("stty -a | grep -o -- '-*icanon' && echo typed $((1 + 2))");
    let after = terminal.shows("typed 3");
    assert!(after.contains("\nicanon"), "{after}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_says_that_the_aggregator_went_and_goes_on_when_it_is_back() {
    let Some(terminal) = Terminal::open("gone") else { return };
    let server = Server::start().await;
    let address = server.socket();
    let agents = two_clouds(&server).await;
    terminal.line(&format!("{} --ascii", top(address)));
    terminal.shows("aws a -> gcp b response");
    drop(agents);
    server.stop().await;
    terminal.shows("STALE for");
    terminal.shows("no aggregator answers at");
    let stale = terminal.shows("aws a -> gcp b");
    assert!(stale.is_ascii(), "{stale}");
    let server = Server::start_at(address).await;
    let mut agent = Agent::connect(&server, hello("aws-a", 3, 1)).await;
    agent.acked().await.expect("welcome");
    terminal.shows("nodes: 1, 1 connected");
    // A signal ends it as a key does.
    terminal.key("C-z");
    terminal.shows("ready$");
    terminal.line("kill %1; fg; echo it $((1 + 1))");
    terminal.shows("it 2");
    terminal.line("stty -a | grep -o -- '-*icanon' && echo typed $((1 + 2))");
    let after = terminal.shows("typed 3");
    assert!(after.contains("\nicanon"), "{after}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_prints_where_there_is_no_terminal() {
    let server = Server::start().await;
    let _agents = two_clouds(&server).await;
    let address = server.socket().to_string();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xcloud"));
        command.args(["top", "--aggregator", &address]).args(words);
        command.env("LC_ALL", "C").output().expect("the binary runs")
    };
    let once = run(&["--once"]);
    let text = String::from_utf8(once.stdout).expect("UTF-8");
    assert!(once.status.success() && text.is_ascii(), "{text}");
    assert!(text.contains("aws a -> gcp b ack") && text.contains("lost: 0 of 80"), "{text}");
    let without = run(&[]);
    let said = String::from_utf8_lossy(&without.stderr);
    assert_eq!(without.status.code(), Some(2), "{said}");
    assert!(said.contains("--once"), "{said}");
    let Some(terminal) = Terminal::open("dumb") else { return };
    terminal.line(&format!("TERM=dumb {}", top(&address)));
    terminal.shows("aws a -> gcp b response");
    terminal.key("C-c");
    terminal.line("echo back $((1 + 1))");
    terminal.shows("back 2");
    server.stop().await;
}
