//! A forest plot as inline SVG: a row per estimate with its interval, a line at zero and a band of
//! differences that do not matter. What a row means is shown by the shape of its mark, not by colour
//! alone.

use std::fmt::Write;

use super::Table;
use super::axis::{Axis, number};
use super::page::escape;

/// A forest plot.
#[derive(Clone, Debug, PartialEq)]
pub struct ForestPlot {
    /// What it shows.
    pub title: String,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Half the width of the band around zero.
    pub margin: f64,
    /// Name of the band.
    pub margin_label: String,
    /// Rows, from above.
    pub rows: Vec<ForestRow>,
    /// What each mark means, in the order of [`Mark::ALL`].
    pub legend: [String; 3],
    /// The numbers; may hold more than is drawn.
    pub table: Table,
}

/// An estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct ForestRow {
    /// What is estimated.
    pub label: String,
    /// Where it lies.
    pub estimate: f64,
    /// Where it may lie.
    pub interval: [f64; 2],
    /// How it is marked.
    pub mark: Mark,
}

/// A mark, by what is known of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A full circle: inside the band.
    Inside,
    /// A hollow diamond: unknown.
    Open,
    /// A full square: outside.
    Outside,
}

impl Mark {
    /// All of them.
    pub const ALL: [Mark; 3] = [Mark::Inside, Mark::Open, Mark::Outside];

    /// Class of the style sheet.
    fn class(self) -> &'static str {
        match self {
            Mark::Inside => "c2",
            Mark::Open => "c0",
            Mark::Outside => "c1",
        }
    }

    /// The mark in text.
    pub(crate) fn sign(self) -> char {
        match self {
            Mark::Inside => '●',
            Mark::Open => '◇',
            Mark::Outside => '■',
        }
    }

    fn draw(self, svg: &mut String, x: f64, y: f64) {
        let class = self.class();
        let _ = match self {
            Mark::Inside => {
                write!(svg, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>")
            }
            Mark::Open => write!(
                svg,
                "<path class=\"hollow {class}\" d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\"/>",
                y - 5.0
            ),
            Mark::Outside => write!(
                svg,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>",
                x - 4.0,
                y - 4.0
            ),
        };
    }
}

const WIDTH: f64 = 640.0;
const LEFT: f64 = 196.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 40.0;
const ROW: f64 = 24.0;

impl ForestPlot {
    /// The drawing; `None` without rows that can be drawn. `id` must be distinct within the page.
    pub(crate) fn to_svg(&self, id: usize) -> Option<String> {
        let sound = |row: &&ForestRow| {
            row.estimate.is_finite() && row.interval.iter().all(|end| end.is_finite())
        };
        let rows: Vec<&ForestRow> = self.rows.iter().filter(sound).collect();
        let ends = rows.iter().flat_map(|row| [row.estimate, row.interval[0], row.interval[1]]);
        if rows.is_empty() {
            return None;
        }
        let x = Axis::over(ends.chain([-self.margin, self.margin]), LEFT, WIDTH - RIGHT)?;
        let bottom = TOP + ROW * rows.len() as f64;
        let height = bottom + BOTTOM;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-labelledby=\"t{id} d{id}\"><title id=\"t{id}\">{}</title>\
             <desc id=\"d{id}\">{}</desc>",
            escape(&self.title),
            escape(&self.description(&rows))
        );
        let (from, to) = (x.place(-self.margin), x.place(self.margin));
        let _ = write!(
            svg,
            "<rect class=\"band\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            to - from,
            bottom - TOP,
            f64::midpoint(from, to),
            TOP - 8.0,
            escape(&self.margin_label)
        );
        x.draw_below(&mut svg, bottom, TOP, &self.x_label);
        let zero = x.place(0.0);
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{zero:.1}\" x2=\"{zero:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"
        );
        for (at, row) in rows.into_iter().enumerate() {
            let y = TOP + ROW * (at as f64 + 0.5);
            let class = row.mark.class();
            let [low, high] = row.interval.map(|end| x.place(end));
            let _ = write!(
                svg,
                "<text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <line class=\"line {class}\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y}\" y2=\"{y}\"/>",
                LEFT - 8.0,
                y + 4.0,
                escape(&row.label)
            );
            row.mark.draw(&mut svg, x.place(row.estimate), y);
        }
        svg.push_str("</svg>");
        Some(svg)
    }

    /// Sign, class and meaning of the marks that occur.
    pub(crate) fn keys(&self) -> Vec<(char, &'static str, &str)> {
        let used = |mark: &Mark| self.rows.iter().any(|row| row.mark == *mark);
        let all = Mark::ALL.into_iter().zip(&self.legend);
        all.filter(|(mark, _)| used(mark))
            .map(|(mark, meaning)| (mark.sign(), mark.class(), meaning.as_str()))
            .collect()
    }

    fn description(&self, rows: &[&ForestRow]) -> String {
        let meaning = |mark: Mark| {
            let place = Mark::ALL.iter().position(|other| *other == mark).unwrap_or(0);
            &self.legend[place]
        };
        let of = |row: &&ForestRow| {
            let [low, high] = row.interval.map(number);
            format!(
                "{}: {} [{low}, {high}], {}.",
                row.label,
                number(row.estimate),
                meaning(row.mark)
            )
        };
        rows.iter().map(of).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> ForestPlot {
        let row = |label: &str, estimate: f64, mark| ForestRow {
            label: label.into(),
            estimate,
            interval: [estimate - 1.0, estimate + 1.5],
            mark,
        };
        ForestPlot {
            title: "Differences <all>".into(),
            x_label: "points".into(),
            margin: 2.0,
            margin_label: "±2 points".into(),
            rows: vec![row("a", 0.1, Mark::Inside), row("b", 6.0, Mark::Outside)],
            legend: ["inside", "unknown", "outside"].map(str::to_owned),
            table: Table::default(),
        }
    }

    #[test]
    fn every_row_is_drawn_and_labelled() {
        let svg = plot().to_svg(3).unwrap();
        assert!(svg.contains("<title id=\"t3\">Differences &lt;all&gt;</title>"));
        assert!(svg.contains("b: 6 [5, 7.5], outside."), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1);
        // The band and one square.
        assert_eq!(svg.matches("<rect").count(), 2);
        assert_eq!(plot().keys().len(), 2, "only marks that occur");
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        let mut plot = plot();
        plot.rows[0].estimate = f64::NAN;
        assert_eq!(plot.to_svg(1).unwrap().matches("<circle").count(), 0);
        plot.rows.clear();
        assert_eq!(plot.to_svg(1), None);
    }
}
