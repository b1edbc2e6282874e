//! How reports look, and what hostile files cannot do to them.

use insta::assert_snapshot;

use super::{
    csv::csv,
    facts::{Report, report},
    html::html,
    markdown::markdown,
    sample::{self, HOSTILE},
    verdict::Verdict,
};

fn two() -> Report {
    let runs = [sample::run("off", 5, 1.0), sample::run("wireguard", 4, 1.12)];
    let verdict = Verdict {
        test: "http".into(),
        from: "aws/us-east-1/us-east-1a/node-1".into(),
        to: "gcp/us-central1".into(),
        figure: "response p99".into(),
        says: "+2.9 ms (2.1 .. 3.8): slower".into(),
    };
    report(&runs, vec![verdict], Vec::new()).expect("sound tables")
}

fn one(run: crate::result::Run) -> Report {
    report(&[run], Vec::new(), vec!["a run that cannot be read: b.json".into()])
        .expect("sound tables")
}

/// For a browser: `XCLOUD_REPORT_TO=DIR cargo test -p xcloud-daemon --lib pages`.
#[test]
fn pages_are_whole_and_load_nothing() {
    let pages = [
        ("two", html(&two())),
        ("one", html(&one(sample::run("off", 1, 0.5)))),
        ("hostile", html(&one(sample::hostile()))),
    ];
    for (name, page) in pages {
        if let Some(folder) = std::env::var_os("XCLOUD_REPORT_TO") {
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.html")), &page)
                .expect("writable");
        }
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{name}");
        for loads in
            ["<script", "<link", "<img", "src=", "href=", "url(", "@import", "http://", "https://"]
        {
            assert!(!page.contains(loads), "{name} has {loads}");
        }
    }
}

#[test]
fn every_tag_that_is_opened_is_closed() {
    for page in [html(&two()), html(&one(sample::hostile()))] {
        let mut open: Vec<&str> = Vec::new();
        for tag in page.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            let name = tag.split([' ', '\n']).next().unwrap_or_default();
            if let Some(closed) = name.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed), "{tag}");
            } else if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name) {
                open.push(name);
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }
}

#[test]
fn hostile_text_stays_text() {
    let report = one(sample::hostile());
    let page = html(&report);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=&#39;x&#39;"));
    let text = markdown(&report);
    let table = csv(&report).expect("CSV");
    for form in [&page, &text, &table] {
        assert!(!form.contains('\u{1b}'), "an escape for the terminal");
    }
    for form in [&page, &text] {
        assert!(!form.contains("<script") && !form.contains(HOSTILE));
    }
    assert!(text.lines().filter(|line| line.starts_with('|')).all(|line| {
        let bare = line.replace("\\|", "");
        bare.matches('|').count() == 3
    }));
}

#[test]
fn a_page_with_two_runs() {
    let page = html(&two());
    let body = page.split("</style>").nth(1).expect("a body");
    // Where each curve goes is not for reading; that there are as many as wanted is.
    let drawn: String = body
        .lines()
        .filter(|line| !line.starts_with("<path class=\"line"))
        .collect::<Vec<_>>()
        .join("\n");
    let lines = body.matches("<path class=\"line").count();
    assert_eq!(lines, 6, "two distributions and one series, of two runs");
    let without_bands: Vec<_> =
        drawn.lines().filter(|line| !line.starts_with("<path class=\"band")).collect();
    assert_snapshot!("page", without_bands.join("\n"));
}

#[test]
fn markdown_of_two_runs() {
    assert_snapshot!("markdown", markdown(&two()));
}

#[test]
fn csv_of_two_runs() {
    assert_snapshot!("csv", csv(&two()).expect("CSV"));
}

#[test]
fn json_has_the_facts_and_no_histogram() {
    let value = serde_json::to_value(two()).expect("JSON");
    assert_eq!(value["schema"], "xcloud.report.v1");
    let path = &value["paths"][0];
    assert_eq!(path["measured"][0]["metrics"]["throughput"]["unit"], "bit/s");
    assert_eq!(path["measured"][1]["distributions"]["response"]["quantiles"][2]["quantile"], 0.99);
    assert_eq!(path["cost"]["usd_per_gb"], "0.0891");
    assert_eq!(value["verdicts"][0]["figure"], "response p99");
    assert!(path["floor"]["rtt_ns"].as_u64() > Some(15_000_000));
    assert!(!value.to_string().contains("curve"));
}
