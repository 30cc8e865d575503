//! The page itself: HTML 5 without scripts and without requests.

use std::fmt::Write;

use super::chart::{Chart, Series, number};
use super::{Content, Figure, Report, Sample, Section};
use crate::metrics::Metric;
use crate::run::StageKind;

/// Rows of a table that are shown without unfolding it.
const SHORT_TABLE: usize = 30;
/// Rows of numbers beside each curve.
const CURVE_ROWS: usize = 12;

pub(super) fn render(report: &Report) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p>{summary}</p>\n",
        title = escape(&report.title),
        summary = escape(&report.summary)
    );
    figures(&mut html, &report.figures);
    let mut id = 0;
    let charts = curves(&report.metrics);
    if !charts.is_empty() {
        html.push_str("<section>\n<h2>Training</h2>\n<div class=\"charts\">\n");
        charts.iter().for_each(|chart| add_chart(&mut html, chart, &mut id));
        html.push_str("</div>\n</section>\n");
    }
    report.sections.iter().for_each(|section| add_section(&mut html, section, &mut id));
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

/// Text as it may stand in HTML, in attributes too.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Not allowed in HTML, and models do write them.
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

fn figures(html: &mut String, figures: &[Figure]) {
    if figures.is_empty() {
        return;
    }
    html.push_str("<dl class=\"figures\">\n");
    for Figure { label, value, note } in figures {
        let _ = writeln!(
            html,
            "<div><dt>{}</dt><dd class=\"value\">{}</dd><dd>{}</dd></div>",
            escape(label),
            escape(value),
            escape(note)
        );
    }
    html.push_str("</dl>\n");
}

/// A line per stage of what `pick` finds in the metrics.
fn by_stage(metrics: &[Metric], pick: impl Fn(&Metric) -> Option<(StageKind, f64)>) -> Vec<Series> {
    [StageKind::Pretrain, StageKind::Chat]
        .into_iter()
        .map(|stage| {
            let point = |metric: &Metric| {
                let (of, y) = pick(metric)?;
                (of == stage).then_some((metric.step() as f64, y))
            };
            Series::new(stage.name(), metrics.iter().filter_map(point).collect())
        })
        .filter(|series| !series.points.is_empty())
        .collect()
}

fn curves(metrics: &[Metric]) -> Vec<Chart> {
    let step = |pick: fn(&crate::StepMetrics) -> Option<f64>| {
        by_stage(metrics, |metric| match metric {
            Metric::Step(m) => pick(m).map(|y| (m.stage, y)),
            Metric::Evaluation(_) => None,
        })
    };
    let held_out = by_stage(metrics, |metric| match metric {
        Metric::Evaluation(m) => Some((m.stage, m.bits_per_byte)),
        Metric::Step(_) => None,
    });
    [
        ("Training loss", "nats per token", step(|m| m.loss.map(f64::from))),
        ("Held-out text", "bits per byte", held_out),
        ("Learning rate of the matrices", "", step(|m| Some(f64::from(m.lr)))),
        ("Gradient norm", "", step(|m| m.grad_norm.map(f64::from))),
        ("Speed", "tokens per second", step(|m| Some(m.tokens_per_second))),
        ("Share of the peak (MFU)", "", step(|m| m.mfu)),
    ]
    .into_iter()
    .filter(|(_, _, series)| !series.is_empty())
    .map(|(title, unit, series)| Chart {
        title: title.into(),
        x_label: "step".into(),
        y_label: unit.into(),
        series,
    })
    .collect()
}

fn add_chart(html: &mut String, chart: &Chart, id: &mut usize) {
    *id += 1;
    let Some(svg) = chart.to_svg(*id) else { return };
    let _ = write!(html, "<figure>\n<figcaption>{}</figcaption>\n{svg}\n", escape(&chart.title));
    if chart.series.len() > 1 {
        html.push_str("<p class=\"legend\">");
        for (color, series) in chart.series.iter().enumerate() {
            let _ = write!(html, "<span class=\"c{}\">{}</span> ", color % 4, escape(&series.name));
        }
        html.push_str("</p>\n");
    }
    let header = [&chart.x_label, &chart.y_label]
        .map(|label| if label.is_empty() { chart.title.clone() } else { label.clone() });
    let rows: Vec<Vec<String>> = chart
        .series
        .iter()
        .flat_map(|series| series.sampled(CURVE_ROWS))
        .map(|(x, y)| vec![number(x), number(y)])
        .collect();
    html.push_str("<details><summary>Numbers</summary>\n");
    table(html, &header, &rows);
    html.push_str("</details>\n</figure>\n");
}

fn add_section(html: &mut String, section: &Section, id: &mut usize) {
    let _ = writeln!(html, "<section>\n<h2>{}</h2>", escape(&section.title));
    if !section.text.is_empty() {
        let _ = writeln!(html, "<p>{}</p>", escape(&section.text));
    }
    match &section.content {
        Content::Table { header, rows } if rows.len() <= SHORT_TABLE => table(html, header, rows),
        Content::Table { header, rows } => {
            let _ = writeln!(html, "<details><summary>{} rows</summary>", rows.len());
            table(html, header, rows);
            html.push_str("</details>\n");
        }
        Content::Samples(samples) => samples.iter().for_each(|s| sample(html, s)),
        Content::Verbatim(text) => {
            let _ = writeln!(html, "<pre>{}</pre>", escape(text));
        }
        Content::Chart(chart) => add_chart(html, chart, id),
    }
    html.push_str("</section>\n");
}

fn table(html: &mut String, header: &[String], rows: &[Vec<String>]) {
    html.push_str("<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>");
    for cell in header {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(cell));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let _ = write!(html, "<td>{}</td>", escape(cell));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table></div>\n");
}

fn sample(html: &mut String, sample: &Sample) {
    let _ = writeln!(html, "<h3>{}</h3>\n<dl class=\"turns\">", escape(&sample.title));
    for (speaker, words) in &sample.turns {
        let (speaker, words) = (escape(speaker), escape(words));
        let _ = writeln!(html, "<div><dt>{speaker}</dt><dd>{words}</dd></div>");
    }
    html.push_str("</dl>\n");
}

/// Contrast of text and lines is at least 4.5 : 1 on either ground (WCAG 2.2, 1.4.3 and 1.4.11).
const STYLE: &str = "\
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1c1c1e; --faint: #5c5c66; \
--rule: #d8d8de; --card: #f5f5f7; --c0: #0b5cad; --c1: #a3470b; --c2: #1d6b3a; --c3: #7a2e8e; }
@media (prefers-color-scheme: dark) { :root { --ground: #16161a; --ink: #ececf0; \
--faint: #a6a6b2; --rule: #3a3a44; --card: #202027; --c0: #7ab8ff; --c1: #ffab70; \
--c2: #7fd8a0; --c3: #d9a3ea; } }
body { margin: 0; background: var(--ground); color: var(--ink); \
font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
.figures div { background: var(--card); border-radius: .5rem; padding: .75rem 1rem; \
min-width: 9rem; }
.figures dd { margin: 0; color: var(--faint); font-size: .85rem; }
.figures .value { color: var(--ink); font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); \
gap: 1.5rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--faint); }
.grid { stroke: var(--rule); } .axis { stroke: var(--faint); }
.line { fill: none; stroke-width: 1.6; }
polyline.c0 { stroke: var(--c0); } polyline.c1 { stroke: var(--c1); }
polyline.c2 { stroke: var(--c2); } polyline.c3 { stroke: var(--c3); }
circle.c0 { fill: var(--c0); } circle.c1 { fill: var(--c1); }
circle.c2 { fill: var(--c2); } circle.c3 { fill: var(--c3); }
.legend { margin: 0; font-size: .85rem; }
.legend .c0 { color: var(--c0); } .legend .c1 { color: var(--c1); }
.legend .c2 { color: var(--c2); } .legend .c3 { color: var(--c3); }
details { font-size: .9rem; } summary { cursor: pointer; color: var(--faint); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; vertical-align: top; \
border-bottom: 1px solid var(--rule); }
pre { background: var(--card); padding: .75rem 1rem; overflow-x: auto; border-radius: .5rem; }
.turns div { display: flex; gap: .75rem; margin: .25rem 0; }
.turns dt { flex: 0 0 6rem; color: var(--faint); }
.turns dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EvaluationMetrics, StepMetrics};

    fn report() -> Report {
        let step = |i: u64, stage| {
            Metric::Step(StepMetrics {
                step: i,
                stage,
                loss: (i != 3).then_some(5.0 / i as f32),
                lr: 0.02,
                grad_norm: Some(1.0),
                skipped: i == 3,
                tokens: 100 * i,
                tokens_per_second: 1234.5,
                mfu: None,
            })
        };
        let evaluation = Metric::Evaluation(EvaluationMetrics {
            step: 0,
            stage: StageKind::Pretrain,
            bits_per_byte: 7.9,
            loss: 5.0,
            tokens: 10,
            bytes: 30,
        });
        let mut metrics = vec![evaluation];
        metrics.extend((1..=5).map(|i| step(i, StageKind::Pretrain)));
        metrics.extend((6..=9).map(|i| step(i, StageKind::Chat)));
        Report {
            title: "A <run>".into(),
            summary: "Two & three".into(),
            figures: vec![Figure::new("Exam", "91 %", "200 questions")],
            metrics,
            sections: vec![
                Section {
                    title: "Examination".into(),
                    text: String::new(),
                    content: Content::Table {
                        header: vec!["Question".into(), "Answer".into()],
                        rows: vec![
                            vec!["<script>alert(1)</script>".into(), "\u{0}\"x\"".into()];
                            40
                        ],
                    },
                },
                Section {
                    title: "Samples".into(),
                    text: "As drawn.".into(),
                    content: Content::Samples(vec![Sample {
                        title: "Small talk".into(),
                        turns: vec![
                            ("user".into(), "hi".into()),
                            ("assistant".into(), "hello".into()),
                        ],
                    }]),
                },
                Section {
                    title: "run.toml".into(),
                    text: String::new(),
                    content: Content::Verbatim("seed = 1\n".into()),
                },
            ],
        }
    }

    /// Opening and closing tags pair up.
    fn assert_balanced(html: &str) {
        let mut open: Vec<&str> = Vec::new();
        let body = &html[html.find("<html").expect("a root")..];
        for tag in body.split('<').skip(1) {
            let name_end = tag.find([' ', '>', '/', '\n']).filter(|&end| end > 0);
            let name = name_end.map_or("", |end| &tag[..end]);
            let attributes = &tag[..tag.find('>').expect("tags close")];
            if let Some(closing) = tag.strip_prefix('/') {
                let closing = &closing[..closing.find('>').expect("tags close")];
                assert_eq!(open.pop(), Some(closing), "near {tag:.40}");
            } else if name != "meta" && !attributes.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
    }

    #[test]
    fn the_page_is_whole_and_shows_what_it_was_given() {
        let html = report().to_html();
        assert_balanced(&html);
        for part in ["lang=\"en\"", "A &lt;run&gt;", "Two &amp; three", "91 %", "40 rows", "hello"]
        {
            assert!(html.contains(part), "{part}");
        }
        // Loss, held-out, rate, norm and speed; no MFU was given.
        assert_eq!(html.matches("<svg").count(), 5);
        assert_eq!(html.matches("<desc").count(), 5);
        assert!(html.contains("pretrain: from 5 at step 1 to 1 at step 5"));
        assert!(html.contains("class=\"legend\""), "two stages have a legend");
    }

    #[test]
    fn nothing_in_it_runs_or_is_fetched() {
        let html = report().to_html();
        for active in ["<script", "http:", "https:", "src=", "href=", "url(", "@import", "\u{0}"] {
            assert!(!html.contains(active), "{active}");
        }
    }

    #[test]
    fn an_empty_report_is_a_page_too() {
        assert_balanced(&Report::default().to_html());
    }
}
