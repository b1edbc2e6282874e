use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use xcloud_proto::observer::v1::ExchangeFilter;

use super::*;
use crate::{
    cli::GroupArg,
    report::Path,
    top::sample::{path, report},
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn state() -> State {
    let question =
        Question { filter: ExchangeFilter::default(), group: GroupArg::Region, within: None };
    State::new("127.0.0.1:7171".into(), seconds(60), seconds(2), question)
}

fn press(state: &mut State, code: KeyCode) {
    let now = state.now;
    state.on(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)), now);
}

fn answer(state: &mut State, paths: Vec<Path>) {
    let question = state.screen().question.clone();
    let answer = Answer { question, report: report(paths), nodes: Vec::new() };
    let now = state.now + seconds(2);
    state.on(Event::Answer(Box::new(answer)), now);
}

fn three() -> Vec<Path> {
    vec![path("aws", "gcp", 30), path("aws", "azure", 50), path("aws", "oci", 40)]
}

fn selected(state: &State) -> String {
    let rows = state.rows();
    let row = rows.get(state.screen().position(&rows)).expect("a row");
    row.path.far.as_ref().map(|far| far.cloud.clone()).unwrap_or_default()
}

#[test]
fn the_selection_stays_on_its_path_while_rows_move() {
    let mut state = state();
    answer(&mut state, three());
    assert_eq!(selected(&state), "azure");
    press(&mut state, KeyCode::Down);
    assert_eq!(selected(&state), "oci");
    answer(&mut state, vec![path("aws", "oci", 99), path("aws", "gcp", 30)]);
    assert_eq!(selected(&state), "oci");
    answer(&mut state, vec![path("aws", "gcp", 30)]);
    assert_eq!(selected(&state), "gcp", "a path that went leaves the first");
    press(&mut state, KeyCode::PageDown);
    press(&mut state, KeyCode::Home);
    press(&mut state, KeyCode::End);
    assert_eq!(selected(&state), "gcp");
}

#[test]
fn enter_goes_in_and_esc_comes_back() {
    let mut state = state();
    press(&mut state, KeyCode::Enter);
    assert!(state.screen().open.is_none(), "there is nothing to go into");
    answer(&mut state, three());
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.screen().opened().map(|row| row.path.total.p99_ns), Some(50));
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.trail().count(), 1);
    assert_eq!(state.question().map(|question| question.group), Some(GroupArg::Node));
    assert!(state.rows().is_empty(), "the parts are not known yet");
    answer(&mut state, vec![path("aws", "azure", 50)]);
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Esc);
    assert_eq!((state.trail().count(), state.screen().open.is_some()), (0, true));
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Esc);
    assert_eq!((selected(&state), state.done), ("azure".into(), false));
}

#[test]
fn a_late_answer_to_an_earlier_question_is_not_shown() {
    let mut state = state();
    answer(&mut state, three());
    let early = state.screen().question.clone();
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::Enter);
    let late = Answer { question: early, report: report(three()), nodes: Vec::new() };
    state.on(Event::Answer(Box::new(late)), seconds(9));
    assert_eq!((state.screen().answered, state.rows().len()), (None, 0));
}

#[test]
fn what_was_seen_stays_when_the_aggregator_goes() {
    let mut state = state();
    state.on(Event::Gone("refused".into()), seconds(1));
    assert!(!state.stale(), "nothing was seen yet");
    answer(&mut state, three());
    assert_eq!(state.gone, None);
    state.on(Event::Gone("refused".into()), seconds(9));
    assert!(state.stale() && state.rows().len() == 3);
}

#[test]
fn a_screen_that_stands_still_asks_nothing() {
    let mut state = state();
    press(&mut state, KeyCode::Char('p'));
    assert!(state.question().is_some(), "there is nothing on it yet");
    answer(&mut state, three());
    assert_eq!(state.question(), None);
    answer(&mut state, Vec::new());
    assert_eq!(state.rows().len(), 3);
    press(&mut state, KeyCode::Char('p'));
    assert!(state.question().is_some());
}

#[test]
fn a_filter_follows_each_key() {
    let mut state = state();
    answer(&mut state, three());
    "/gcq".chars().for_each(|key| press(&mut state, KeyCode::Char(key)));
    assert_eq!((state.rows().len(), state.done), (0, false));
    press(&mut state, KeyCode::Backspace);
    assert_eq!(state.rows().len(), 1);
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.screen().opened().map(|row| row.path.total.p99_ns), Some(30));
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Esc);
    assert_eq!(state.rows().len(), 3);
}

#[test]
fn histories_are_as_long_as_they_may_be_and_go_with_their_path() {
    let mut state = state();
    for at in 0..200 {
        answer(&mut state, vec![path("aws", "gcp", at)]);
    }
    let [row] = &state.rows()[..] else { panic!("one row") };
    let history = &state.screen().history[&row.key];
    assert_eq!((history.len(), history.front(), history.back()), (HISTORY, Some(&80), Some(&199)));
    answer(&mut state, Vec::new());
    assert!(state.screen().history.is_empty());
}

#[test]
fn losses_between_two_looks_are_told() {
    let mut state = state();
    answer(&mut state, three());
    assert_eq!(state.lost_lately, None);
    let mut later = report(three());
    later.loss.lost.ring += 7;
    let question = state.screen().question.clone();
    let later = Answer { question, report: later, nodes: Vec::new() };
    state.on(Event::Answer(Box::new(later)), seconds(9));
    assert_eq!(state.lost_lately, Some(7));
}

#[test]
fn ctrl_c_ends_even_while_typing() {
    let mut state = state();
    press(&mut state, KeyCode::Char('/'));
    press(&mut state, KeyCode::Char('q'));
    assert!(!state.done);
    let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    state.on(Event::Key(key), seconds(1));
    assert!(state.done);
}
