use std::time::Duration;

use proptest::prelude::*;
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    style::Color,
};

use super::*;
use crate::{
    cli::GroupArg,
    report::{Path, Place, Pod, Report, nodes::Node},
    top::{
        question::Question,
        sample::{path, report, site},
        state::{Answer, Event},
    },
};

const COLOR: Look = Look { color: true, unicode: true };
const PLAIN: Look = Look { color: false, unicode: true };
const ASCII: Look = Look { color: false, unicode: false };

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn node(name: &str, connected: bool) -> Node {
    let status = xcloud_proto::observer::v1::NodeStatus { connected, ..Default::default() };
    Node { site: site("gcp", name), ..Node::from(status) }
}

fn shown(report: Report) -> State {
    let question = Question { filter: Default::default(), group: GroupArg::Region, within: None };
    let mut state = State::new("127.0.0.1:7171".into(), seconds(60), seconds(2), question.clone());
    for at in 1..=5 {
        let mut report = report.clone();
        report.paths.iter_mut().for_each(|path| path.total.p99_ns = path.total.p99_ns / 5 * at);
        report.loss.lost.ring += at;
        let nodes = vec![node("node-b", true), node("node-c", false)];
        let answer = Answer { question: question.clone(), report, nodes };
        state.on(Event::Answer(Box::new(answer)), seconds(2 * at));
    }
    state
}

fn three_clouds() -> State {
    let lone = Path { far: None, ..path("gcp", "aws", 3_200_000) };
    let long = Path {
        near: site("azure", &"very-long-node-name-".repeat(5)),
        ..path("azure", "aws", 900_000)
    };
    shown(report(vec![path("aws", "gcp", 40_150_000), lone, long]))
}

fn press(state: &mut State, code: KeyCode) {
    let now = state.now;
    state.on(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)), now);
}

fn terminal(state: &State, (width, height): (u16, u16), look: Look) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("no terminal fails");
    let draw = |picture: &mut ratatui::Frame<'_>| {
        picture.render_widget(frame(state, (width, height), look), picture.area());
    };
    terminal.draw(draw).expect("no terminal fails");
    terminal
}

fn picture(state: &State, size: (u16, u16), look: Look) -> String {
    terminal(state, size, look).backend().to_string()
}

#[test]
fn paths_at_80_columns() {
    insta::assert_snapshot!(picture(&three_clouds(), (80, 24), PLAIN));
}

#[test]
fn paths_at_120_columns() {
    insta::assert_snapshot!(picture(&three_clouds(), (120, 40), PLAIN));
}

#[test]
fn paths_at_the_smallest_size_in_ascii() {
    let text = picture(&three_clouds(), (60, 15), ASCII);
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_path_by_itself() {
    let mut report = report(vec![path("aws", "gcp", 40_150_000)]);
    report.pods.push(Pod {
        site: site("gcp", "node-b"),
        interface: "veth\x1b[31m1".into(),
        place: Place::Inside,
        why: "answers went past it".into(),
    });
    let mut state = shown(report);
    press(&mut state, KeyCode::Enter);
    insta::assert_snapshot!("80x24", picture(&state, (80, 24), PLAIN));
    press(&mut state, KeyCode::PageDown);
    insta::assert_snapshot!("60x15_scrolled", picture(&state, (60, 15), ASCII));
    press(&mut state, KeyCode::Enter);
    insta::assert_snapshot!("before_its_parts_come", picture(&state, (80, 15), PLAIN));
}

#[test]
fn the_help_fits_the_smallest_size() {
    let mut state = three_clouds();
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::Char('?'));
    insta::assert_snapshot!(picture(&state, (60, 15), PLAIN));
}

#[test]
fn what_is_stale_says_so_and_steps_back() {
    let mut state = three_clouds();
    let why = "no aggregator answers at 127.0.0.1:7171: Connection refused\x1b[0m";
    state.on(Event::Gone(why.into()), seconds(22));
    let text = picture(&state, (80, 24), PLAIN);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].contains("STALE for 12 s"), "{text}");
    assert!(lines[1].contains("Connection refused\\x1b[0m; trying again"), "{text}");
    let terminal = terminal(&state, (80, 24), PLAIN);
    let cell = terminal.backend().buffer().cell((4, 4)).expect("inside");
    assert!(cell.style().add_modifier.contains(ratatui::style::Modifier::DIM), "{cell:?}");
}

#[test]
fn too_small_a_terminal_is_told() {
    let text = picture(&three_clouds(), (50, 10), PLAIN);
    assert!(text.contains("needs a terminal of 60x15; this"), "{text}");
}

#[test]
fn colours_are_the_terminals_own_and_only_where_wanted() {
    let state = three_clouds();
    for (look, wanted) in [(COLOR, true), (PLAIN, false)] {
        let terminal = terminal(&state, (80, 24), look);
        let cells = &terminal.backend().buffer().content;
        assert!(cells.iter().all(|cell| cell.bg == Color::Reset), "a background is fixed");
        let fixed = |color: Color| matches!(color, Color::Rgb(..) | Color::Indexed(_));
        assert!(!cells.iter().any(|cell| fixed(cell.fg)), "a colour is fixed");
        assert_eq!(cells.iter().any(|cell| cell.fg != Color::Reset), wanted);
    }
}

proptest! {
    #[test]
    fn no_size_and_no_name_breaks_the_picture(
        (width, height) in (0u16..200, 0u16..60),
        name: String,
        keys in proptest::collection::vec(0usize..8, 0..12),
    ) {
        let odd = Path { near: site("aws", &name), ..path("aws", "gcp", 1_000) };
        let mut state = shown(report(vec![odd, path("gcp", "aws", 1 << 43)]));
        let all = [
            KeyCode::Down, KeyCode::Up, KeyCode::Enter, KeyCode::Esc, KeyCode::Char('?'),
            KeyCode::PageDown, KeyCode::Char('s'), KeyCode::Char('/'),
        ];
        keys.iter().for_each(|key| press(&mut state, all[*key]));
        for look in [COLOR, ASCII] {
            let text = frame(&state, (width, height), look);
            for line in text.lines {
                let line = line.to_string();
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
                prop_assert!(width == 0 || line.width() <= usize::from(width).max(60), "{line:?}");
            }
        }
    }
}
