//! Who does what when, as inline SVG: a row for each lane, a bar for each span. A span of several kinds
//! is split into as many bands; a span of none is a thin line.

use std::fmt::Write;

use super::Table;
use super::axis::Axis;
use super::page::escape;
use super::stack::FILLS;

/// A timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct GanttChart {
    /// What it shows.
    pub title: String,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Kinds of spans.
    pub kinds: Vec<String>,
    /// Rows, from above.
    pub lanes: Vec<GanttLane>,
    /// What it says, in words, for readers who do not see it.
    pub description: String,
    /// The numbers; may hold more than is drawn.
    pub table: Table,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct GanttLane {
    /// Its name.
    pub label: String,
    /// Its spans.
    pub spans: Vec<GanttSpan>,
}

/// A stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct GanttSpan {
    /// Where it begins.
    pub start: f64,
    /// How long it is.
    pub length: f64,
    /// Kinds of what happens in it, as places in [`GanttChart::kinds`]; none for waiting.
    pub kinds: Vec<usize>,
    /// What to say of it.
    pub label: String,
}

const WIDTH: f64 = 640.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 6.0;
const BOTTOM: f64 = 40.0;
const ROW: f64 = 20.0;
const BAR: f64 = 15.0;

impl GanttChart {
    /// The drawing; `None` without a span. `id` must be distinct within the page.
    pub(crate) fn to_svg(&self, id: usize) -> Option<String> {
        let sound = |span: &&GanttSpan| {
            span.start.is_finite() && span.length.is_finite() && span.length > 0.0
        };
        let spans = || self.lanes.iter().flat_map(|lane| lane.spans.iter().filter(sound));
        spans().next()?;
        let ends = spans().flat_map(|span| [span.start, span.start + span.length]);
        let x = Axis::over(ends, LEFT, WIDTH - RIGHT)?;
        let bottom = TOP + ROW * self.lanes.len() as f64;
        let height = bottom + BOTTOM;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-labelledby=\"t{id} d{id}\"><title id=\"t{id}\">{}</title>\
             <desc id=\"d{id}\">{}</desc>",
            escape(&self.title),
            escape(&self.description)
        );
        x.draw_below(&mut svg, bottom, TOP, &self.x_label);
        for (row, lane) in self.lanes.iter().enumerate() {
            let y = TOP + ROW * row as f64 + (ROW - BAR) / 2.0;
            let _ = write!(
                svg,
                "<text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + BAR / 2.0 + 4.0,
                escape(&lane.label)
            );
            for span in lane.spans.iter().filter(sound) {
                draw(&mut svg, &x, y, span);
            }
        }
        svg.push_str("</svg>");
        Some(svg)
    }

    /// Sign, class and name of each kind.
    pub(crate) fn keys(&self) -> Vec<(String, &'static str, String)> {
        let kinds = self.kinds.iter().enumerate();
        kinds.map(|(k, name)| ("■".to_owned(), FILLS[k % FILLS.len()], name.clone())).collect()
    }
}

fn draw(svg: &mut String, x: &Axis, y: f64, span: &GanttSpan) {
    let (from, to) = (x.place(span.start), x.place(span.start + span.length));
    let width = (to - from).max(0.3);
    let _ = write!(svg, "<g><title>{}</title>", escape(&span.label));
    if span.kinds.is_empty() {
        let middle = y + BAR / 2.0;
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{from:.2}\" x2=\"{:.2}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>",
            from + width
        );
    }
    let band = BAR / span.kinds.len().max(1) as f64;
    for (place, kind) in span.kinds.iter().enumerate() {
        let _ = write!(
            svg,
            "<rect class=\"part {}\" x=\"{from:.2}\" y=\"{:.2}\" width=\"{width:.2}\" height=\"{band:.2}\"/>",
            FILLS[kind % FILLS.len()],
            y + band * place as f64
        );
    }
    svg.push_str("</g>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_span_is_drawn_in_its_place() {
        let span = |start: f64, length: f64, kinds: &[usize]| GanttSpan {
            start,
            length,
            kinds: kinds.to_vec(),
            label: format!("<{start}>"),
        };
        let chart = GanttChart {
            title: "Step".into(),
            x_label: "s".into(),
            kinds: vec!["forward".into(), "backward".into()],
            lanes: vec![GanttLane {
                label: "stage 1".into(),
                spans: vec![
                    span(0.0, 5.0, &[0]),
                    span(5.0, 2.0, &[]),
                    span(7.0, 3.0, &[0, 1]),
                    span(10.0, f64::NAN, &[0]),
                ],
            }],
            description: "one stage".into(),
            table: Table::default(),
        };
        let svg = chart.to_svg(3).unwrap();
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.contains("width=\"270.00\"") && svg.contains("&lt;7&gt;"), "{svg}");
        assert_eq!(chart.keys().len(), 2);
        assert_eq!(GanttChart { lanes: Vec::new(), ..chart }.to_svg(1), None);
    }
}
