//! Pictures as inline SVG: no script, no font, no file beside the page.

use std::fmt::Write as _;

use crate::escape::html as escape;

pub mod axis;
pub mod bars;
pub mod curves;
pub mod timeline;

use axis::Axis;

/// Width of the drawing area in the picture's own units; a phone shows a picture a little smaller, a screen larger.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;

/// A curve of a run, with the range of its trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Which run, from 0.
    pub run: usize,
    /// `(x, y, lowest, highest)`, ascending in x.
    pub points: Vec<[f64; 4]>,
}

/// Text for an attribute or an element.
fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = escape(words);
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#);
}

fn open(title: &str, height: f64) -> String {
    let title = escape(title);
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n"
    )
}

/// Curves over two axes.
fn plot(title: &str, across: &Axis, up: &Axis, curves: &[Curve]) -> String {
    let mut svg = open(title, HEIGHT);
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (value, words) in &up.ticks {
        let y = up.at(*value, bottom, TOP);
        let _ = writeln!(svg, r#"<path class="grid" d="M{LEFT} {y:.1}H{right}"/>"#);
        text(&mut svg, LEFT - 6.0, y + 4.0, "end", words);
    }
    for (value, words) in &across.ticks {
        let x = across.at(*value, LEFT, right);
        let _ = writeln!(svg, r#"<path class="grid" d="M{x:.1} {TOP}V{bottom}"/>"#);
        text(&mut svg, x, bottom + 16.0, "middle", words);
    }
    text(&mut svg, f64::midpoint(LEFT, right), HEIGHT - 5.0, "middle", &across.name);
    for curve in curves {
        draw(&mut svg, curve, across, up);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, curve: &Curve, across: &Axis, up: &Axis) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let at = |x: f64, y: f64| (across.at(x, LEFT, right), up.at(y, bottom, TOP));
    let path = |points: &mut dyn Iterator<Item = (f64, f64)>| {
        points.fold(String::new(), |mut path, (x, y)| {
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' });
            path
        })
    };
    let lower = curve.points.iter().map(|[x, _, low, _]| at(*x, *low));
    let upper = curve.points.iter().rev().map(|[x, _, _, high]| at(*x, *high));
    let band = path(&mut lower.chain(upper));
    let line = path(&mut curve.points.iter().map(|[x, y, ..]| at(*x, *y)));
    let run = curve.run;
    let _ = writeln!(svg, "<path class=\"band r{run}\" d=\"{band}Z\"/>");
    let _ = writeln!(svg, "<path class=\"line r{run}\" d=\"{line}\"/>");
}
