//! A file's text to a tree that knows where everything stands. Of YAML only what a configuration needs: mappings,
//! lists and scalars, in one document. Anchors, aliases and tags are refused, so nothing grows beyond the text.

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// Deepest nesting: a section, a list, and room for mistakes to be told as such.
const MAX_DEPTH: usize = 8;

/// A place in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Where.
    pub(super) at: Position,
    /// What.
    pub(super) why: String,
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Where.
    pub(super) at: Position,
    /// What.
    pub(super) value: Value,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar; plain ones stand without quotes.
    Text {
        /// As it is meant.
        text: String,
        /// Without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) at: Position,
    /// The key.
    pub(super) key: String,
    /// Its value.
    pub(super) node: Node,
}

impl Value {
    /// What a person would call it.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text { .. } => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Reads a document; an empty one is [`Value::Null`].
pub(super) fn parse(text: &str) -> Result<Node, Wrong> {
    // The parser looks ahead, so it must not go deeper either.
    let options = granit_parser::options! {
        disallow_directives: true,
        // Other crates that use the parser have it tell comments too.
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
    };
    let events = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { events, at: Position::default() };
    reader.next()?;
    let (event, at) = reader.next()?;
    if event == Event::StreamEnd {
        return Ok(Node { at, value: Value::Null });
    }
    let first = reader.next()?;
    let node = reader.node(first, 0)?;
    reader.next()?;
    match reader.next()? {
        (Event::StreamEnd, _) => Ok(node),
        (_, at) => {
            Err(Wrong { at, why: "a second document begins here; there must be one".into() })
        }
    }
}

struct Reader<Events> {
    events: Events,
    at: Position,
}

impl<'a, Events: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> Reader<Events> {
    /// The next event, unless it is of what is refused.
    fn next(&mut self) -> Result<(Event<'a>, Position), Wrong> {
        let position = |line, column| Position { line, column: column + 1 };
        // Comments are events where any crate asks for that, as kube does; so it is asked for here, and they are passed over.
        let is_comment = |event: &Result<(Event<'_>, Span), ScanError>| {
            matches!(event, Ok((Event::Comment(..), _)))
        };
        let next = self.events.by_ref().find(|event| !is_comment(event));
        let (event, at) = match next {
            Some(Ok((event, span))) => (event, position(span.start.line(), span.start.col())),
            Some(Err(error)) => {
                let at = position(error.marker().line(), error.marker().col());
                return Err(Wrong { at, why: format!("this is no YAML: {}", error.info()) });
            }
            None => return Err(Wrong { at: self.at, why: "the text ends too early".into() }),
        };
        self.at = at;
        let refused = if event.anchor_id().is_some() || event.alias_id().is_some() {
            "anchors and aliases (& and *) are not taken here: write the value out"
        } else if event.tag().is_some() {
            "tags (!) are not taken here: what type a value has is known"
        } else {
            return Ok((event, at));
        };
        Err(Wrong { at, why: refused.into() })
    }

    fn node(&mut self, (event, at): (Event<'a>, Position), depth: usize) -> Result<Node, Wrong> {
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style),
            _ if depth >= MAX_DEPTH => {
                return Err(Wrong { at, why: format!("nested more than {MAX_DEPTH} levels deep") });
            }
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            _ => return Err(Wrong { at, why: "a value is missing".into() }),
        };
        Ok(Node { at, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, Wrong> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(list)),
                other => list.push(self.node(other, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Wrong> {
        let mut map: Vec<Entry> = Vec::new();
        loop {
            let (event, at) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Value::Map(map)),
                Event::Scalar(key, ..) => key.into_owned(),
                _ => return Err(Wrong { at, why: "a key must be a word".into() }),
            };
            if let Some(before) = map.iter().find(|entry| entry.key == key) {
                let why = format!("{key:?} is given a second time, after line {}", before.at.line);
                return Err(Wrong { at, why });
            }
            let value = self.next()?;
            map.push(Entry { at, key, node: self.node(value, depth + 1)? });
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    Value::Text { text: text.into(), plain }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrong(text: &str) -> (usize, usize, String) {
        let wrong = parse(text).expect_err(text);
        (wrong.at.line, wrong.at.column, wrong.why)
    }

    #[test]
    fn a_tree_knows_where_everything_stands() {
        let tree = parse("# sample\nagent:\n  rate: 5\n  uplink: [eth0, 'x y']\n").expect("sound");
        let Value::Map(top) = tree.value else { panic!("{tree:?}") };
        assert_eq!((top[0].key.as_str(), top[0].at), ("agent", Position { line: 2, column: 1 }));
        let Value::Map(agent) = &top[0].node.value else { panic!("{top:?}") };
        assert_eq!(agent[0].node.at, Position { line: 3, column: 9 });
        assert_eq!(agent[0].node.value, Value::Text { text: "5".into(), plain: true });
        let Value::List(uplinks) = &agent[1].node.value else { panic!("{agent:?}") };
        assert_eq!(uplinks[1].value, Value::Text { text: "x y".into(), plain: false });
        assert_eq!(uplinks[1].at, Position { line: 4, column: 18 });
    }

    #[test]
    fn nothing_is_a_document_too() {
        for nothing in ["", "# only a comment\n", "---\n", "~\n"] {
            assert_eq!(parse(nothing).expect(nothing).value, Value::Null, "{nothing:?}");
        }
    }

    #[test]
    fn what_a_configuration_does_not_need_is_refused_where_it_stands() {
        let (line, column, why) = wrong("a: &x 1\nb: *x\n");
        assert!((line, column) == (1, 7) && why.contains("anchors"), "{line}:{column} {why}");
        assert!(wrong("a: *x\n").2.contains("YAML"), "an unknown alias");
        assert!(wrong("a: !!int 5\n").2.contains("tags"));
        assert_eq!(
            wrong("a: 1\nb: 2\na: 3\n"),
            (3, 1, "\"a\" is given a second time, after line 1".into())
        );
        assert!(wrong("a: 1\n---\nb: 2\n").2.contains("second document"));
        assert!(wrong("[a]: 1\n").2.contains("a key must be a word"));
        assert!(wrong("a:\n\tb: 1\n").2.contains("no YAML"));
        assert!(wrong("a: \"open\n").2.contains("no YAML"));
    }

    #[test]
    fn what_is_nested_deeply_is_refused_before_it_costs_anything() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(8)).is_ok());
        for text in [nested(9), nested(10), nested(100_000), "- ".repeat(50_000)] {
            let (_, column, why) = wrong(&text);
            assert!(why.contains("nested") || why.contains("recursion limit"), "{why}");
            assert!(column < 30, "{column}");
        }
        let bomb = "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n";
        assert!(wrong(bomb).2.contains("anchors"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_mixture_of_marks_makes_it_panic(text in "[-:{}\\[\\],&*!|>'\"%@`#?~a \\n\\t]{0,200}") {
            let _ = parse(&text);
        }
    }
}
