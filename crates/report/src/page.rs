//! The page itself: HTML 5 without scripts and without requests.

use std::fmt::Write;

use super::axis::number;
use super::{Content, Figure, Language, LineChart, Plot, Report, Sample, Section, Table};

/// Rows of a table that are shown without unfolding it.
const SHORT_TABLE: usize = 30;
/// Rows of numbers next to each curve.
const CURVE_ROWS: usize = 12;

/// The page's own words.
struct Words {
    code: &'static str,
    numbers: &'static str,
    rows: &'static str,
}

impl Words {
    fn of(language: Language) -> Words {
        match language {
            Language::English => Words { code: "en", numbers: "Numbers", rows: "rows" },
            Language::French => Words { code: "fr", numbers: "Les chiffres", rows: "lignes" },
        }
    }
}

/// A page in the making.
struct Page {
    html: String,
    words: Words,
    /// Drawings so far: their titles need distinct names.
    drawings: usize,
}

pub(super) fn render(report: &Report) -> String {
    let words = Words::of(report.language);
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"{code}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p>{summary}</p>\n",
        code = words.code,
        title = escape(&report.title),
        summary = escape(&report.summary)
    );
    let mut page = Page { html, words, drawings: 0 };
    figures(&mut page.html, &report.figures);
    report.sections.iter().for_each(|section| page.section(section));
    page.html.push_str("</main>\n</body>\n</html>\n");
    page.html
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

impl Page {
    fn section(&mut self, section: &Section) {
        let _ = writeln!(self.html, "<section>\n<h2>{}</h2>", escape(&section.title));
        if !section.text.is_empty() {
            let _ = writeln!(self.html, "<p>{}</p>", escape(&section.text));
        }
        match &section.content {
            Content::Table(content) if content.rows.len() <= SHORT_TABLE => {
                table(&mut self.html, &section.title, content);
            }
            Content::Table(content) => {
                let (count, rows) = (content.rows.len(), self.words.rows);
                let _ = writeln!(self.html, "<details><summary>{count} {rows}</summary>");
                table(&mut self.html, &section.title, content);
                self.html.push_str("</details>\n");
            }
            Content::Samples(samples) => samples.iter().for_each(|s| sample(&mut self.html, s)),
            Content::Verbatim(text) => {
                let _ = writeln!(self.html, "<pre>{}</pre>", escape(text));
            }
            Content::Plots(plots) => {
                let curves = plots.iter().all(|plot| matches!(plot, Plot::Lines(_)));
                let class = if curves { "charts" } else { "charts wide" };
                let _ = writeln!(self.html, "<div class=\"{class}\">");
                plots.iter().for_each(|plot| self.plot(plot));
                self.html.push_str("</div>\n");
            }
        }
        self.html.push_str("</section>\n");
    }

    fn plot(&mut self, plot: &Plot) {
        self.drawings += 1;
        let id = self.drawings;
        let (title, svg, keys, numbers) = match plot {
            Plot::Lines(chart) => {
                (&chart.title, chart.to_svg(id), owned(chart.keys()), curve_table(chart))
            }
            Plot::Forest(plot) => {
                (&plot.title, plot.to_svg(id), owned(plot.keys()), plot.table.clone())
            }
            Plot::Dots(plot) => {
                (&plot.title, plot.to_svg(id), owned(plot.keys()), plot.table.clone())
            }
            Plot::Stack(bar) => (&bar.title, bar.to_svg(id), bar.keys(), bar.numbers()),
            Plot::Gantt(chart) => {
                (&chart.title, chart.to_svg(id), chart.keys(), chart.table.clone())
            }
            Plot::Ranges(chart) => (&chart.title, chart.to_svg(id), Vec::new(), chart.numbers()),
            Plot::Scatter(chart) => {
                (&chart.title, chart.to_svg(id), chart.keys(), chart.table.clone())
            }
        };
        let Some(svg) = svg else { return };
        let title = title.as_str();
        let _ = write!(self.html, "<figure>\n<figcaption>{}</figcaption>\n{svg}\n", escape(title));
        if !keys.is_empty() {
            self.html.push_str("<p class=\"legend\">");
            for (sign, class, name) in keys {
                let _ =
                    write!(self.html, "<span class=\"{class}\">{sign} {}</span> ", escape(&name));
            }
            self.html.push_str("</p>\n");
        }
        if !numbers.rows.is_empty() {
            let word = self.words.numbers;
            let _ = writeln!(self.html, "<details><summary>{word}</summary>");
            table(&mut self.html, title, &numbers);
            self.html.push_str("</details>\n");
        }
        self.html.push_str("</figure>\n");
    }
}

/// Sign, class and name of a legend.
fn owned(keys: Vec<(char, &'static str, &str)>) -> Vec<(String, &'static str, String)> {
    keys.into_iter().map(|(sign, class, name)| (sign.to_string(), class, name.to_owned())).collect()
}

/// Some of the points of a chart.
fn curve_table(chart: &LineChart) -> Table {
    let header = [&chart.x_label, &chart.y_label]
        .map(|label| if label.is_empty() { chart.title.clone() } else { label.clone() });
    let rows = chart
        .series
        .iter()
        .flat_map(|series| series.sampled(CURVE_ROWS))
        .map(|(x, y)| vec![number(x), number(y)])
        .collect();
    Table { header: header.to_vec(), rows }
}

/// A table that can be scrolled by keyboard, and says what it holds to those who do not see it.
fn table(html: &mut String, name: &str, content: &Table) {
    let _ = write!(
        html,
        "<div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\"><table>\n<thead><tr>",
        escape(name)
    );
    for cell in &content.header {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(cell));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in &content.rows {
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
--rule: #d8d8de; --card: #f5f5f7; --c0: #0b5cad; --c1: #a3470b; --c2: #1d6b3a; --c3: #7a2e8e; \
--c4: #0d6b72; --c5: #94273f; --c6: #6b5a00; --c7: #55555f; }
@media (prefers-color-scheme: dark) { :root { --ground: #16161a; --ink: #ececf0; \
--faint: #a6a6b2; --rule: #3a3a44; --card: #202027; --c0: #7ab8ff; --c1: #ffab70; \
--c2: #7fd8a0; --c3: #d9a3ea; --c4: #6fd3da; --c5: #ff9db0; --c6: #dcc75c; --c7: #b4b4c0; } }
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
.wide { grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); }
figure { margin: 0; max-width: 46rem; } figcaption { font-weight: 600; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--faint); }
.grid { stroke: var(--rule); } .axis { stroke: var(--faint); }
.line { fill: none; stroke-width: 1.6; }
polyline.c0 { stroke: var(--c0); } polyline.c1 { stroke: var(--c1); }
polyline.c2 { stroke: var(--c2); } polyline.c3 { stroke: var(--c3); }
line.c0, path.c0 { stroke: var(--c0); } line.c1, path.c1 { stroke: var(--c1); }
line.c2, path.c2 { stroke: var(--c2); } line.c3, path.c3 { stroke: var(--c3); }
circle.c0, rect.c0, path.c0 { fill: var(--c0); } circle.c1, rect.c1, path.c1 { fill: var(--c1); }
circle.c2, rect.c2, path.c2 { fill: var(--c2); } circle.c3, rect.c3, path.c3 { fill: var(--c3); }
path.hollow { fill: var(--ground); stroke-width: 1.6; }
.band { fill: var(--c2); fill-opacity: .14; } svg text.ink { fill: var(--ink); }
.legend { margin: 0; font-size: .85rem; }
.legend .c0 { color: var(--c0); } .legend .c1 { color: var(--c1); }
.legend .c2 { color: var(--c2); } .legend .c3 { color: var(--c3); }
.f0 { fill: var(--c0); } .legend .f0 { color: var(--c0); } \
.f1 { fill: var(--c1); } .legend .f1 { color: var(--c1); } \
.f2 { fill: var(--c2); } .legend .f2 { color: var(--c2); } \
.f3 { fill: var(--c3); } .legend .f3 { color: var(--c3); } \
.f4 { fill: var(--c4); } .legend .f4 { color: var(--c4); } \
.f5 { fill: var(--c5); } .legend .f5 { color: var(--c5); } \
.f6 { fill: var(--c6); } .legend .f6 { color: var(--c6); } \
.f7 { fill: var(--c7); } .legend .f7 { color: var(--c7); } \
.part { stroke: var(--ground); stroke-width: .6; } .frame { fill: none; stroke: var(--rule); } \
svg text.on { fill: var(--ground); font-weight: 600; } .legend span { margin-right: .6rem; } \
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
    use crate::{
        DotPlot, DotRow, ForestPlot, ForestRow, GanttChart, GanttLane, GanttSpan, Mark, RangeChart,
        ScatterChart, ScatterSeries, Series, StackBar, StackPart,
    };

    fn report() -> Report {
        Report {
            language: Language::English,
            title: "A <run>".into(),
            summary: "Two & three".into(),
            figures: vec![Figure::new("Exam", "91 %", "200 questions")],
            sections: vec![
                Section {
                    title: "Examination".into(),
                    text: String::new(),
                    content: Content::Table(Table {
                        header: vec!["Question".into(), "Answer".into()],
                        rows: vec![
                            vec!["<script>alert(1)</script>".into(), "\u{0}\"x\"".into()];
                            40
                        ],
                    }),
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
                    title: "Plots".into(),
                    text: String::new(),
                    content: Content::Plots(plots()),
                },
                Section {
                    title: "run.toml".into(),
                    text: String::new(),
                    content: Content::Verbatim("seed = 1\n".into()),
                },
            ],
        }
    }

    /// One plot of each kind.
    fn plots() -> Vec<Plot> {
        let table = Table { header: vec!["rule".into()], rows: vec![vec!["<r>".into()]] };
        let series = |name: &str| Series::new(name, vec![(1.0, 5.0), (5.0, 1.0)]);
        vec![
            Plot::Lines(LineChart {
                title: "Loss".into(),
                x_label: "step".into(),
                y_label: String::new(),
                series: vec![series("a"), series("b")],
            }),
            Plot::Forest(ForestPlot {
                title: "Differences".into(),
                x_label: "points".into(),
                margin: 2.0,
                margin_label: "±2".into(),
                rows: vec![ForestRow {
                    label: "<r>".into(),
                    estimate: 1.0,
                    interval: [-1.0, 3.0],
                    mark: Mark::Open,
                }],
                legend: ["in", "open", "out"].map(str::to_owned),
                table: table.clone(),
            }),
            Plot::Dots(DotPlot {
                title: "Rates".into(),
                x_label: "%".into(),
                groups: vec!["left".into()],
                rows: vec![DotRow { label: "<r>".into(), values: vec![Some(0.0)] }],
                table: table.clone(),
            }),
            Plot::Stack(StackBar {
                title: "Parts".into(),
                whole: 2.0,
                parts: vec![StackPart { label: "<r>".into(), value: 1.0, shown: "1 s".into() }],
                table: Table::default(),
            }),
            Plot::Gantt(GanttChart {
                title: "Timeline".into(),
                x_label: "s".into(),
                kinds: vec!["work".into()],
                lanes: vec![GanttLane {
                    label: "<r>".into(),
                    spans: vec![GanttSpan {
                        start: 0.0,
                        length: 1.0,
                        kinds: vec![0],
                        label: "<r>".into(),
                    }],
                }],
                description: "one".into(),
                table: table.clone(),
            }),
            Plot::Ranges(RangeChart {
                title: "Ranges".into(),
                x_label: "M$".into(),
                middle: 1.0,
                rows: vec![("<r>".into(), [0.5, 2.0])],
                header: ["a", "b", "c"].map(str::to_owned),
            }),
            Plot::Scatter(ScatterChart {
                title: "Points".into(),
                x_label: "days".into(),
                y_label: "M$".into(),
                log_x: false,
                series: vec![ScatterSeries {
                    name: "<r>".into(),
                    points: vec![(1.0, 2.0, "<r>".into())],
                    joined: true,
                }],
                table,
            }),
        ]
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
        assert_eq!(html.matches("<svg").count(), 7);
        assert_eq!(html.matches("<desc").count(), 7);
        assert_eq!(html.matches("<summary>Numbers</summary>").count(), 7);
        assert!(html.contains("◇ open") && html.contains("● left") && html.contains("— b"));
    }

    #[test]
    fn the_page_speaks_french_too() {
        let html = Report { language: Language::French, ..report() }.to_html();
        for part in ["<html lang=\"fr\">", "40 lignes", "Les chiffres"] {
            assert!(html.contains(part), "{part}");
        }
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
