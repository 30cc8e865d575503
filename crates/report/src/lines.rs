//! A line chart as inline SVG: axes with round numbers, one line per series, title and description
//! for readers who do not see it. Colours come from the page's style sheet.

use std::fmt::Write;

use super::axis::{Axis, number};
use super::page::escape;

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub struct LineChart {
    /// What it shows.
    pub title: String,
    /// Name of the horizontal axis.
    pub x_label: String,
    /// Unit of the vertical axis.
    pub y_label: String,
    /// Lines; points that are not finite are left out.
    pub series: Vec<Series>,
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name.
    pub name: String,
    /// (x, y) with ascending x.
    pub points: Vec<(f64, f64)>,
}

/// Size of the drawing, and of its margins.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// Points a line is drawn with; more cannot be distinguished at this width.
const MAX_POINTS: usize = 400;

impl LineChart {
    /// The drawing; `None` when no series has a point. `id` must be distinct within the page.
    pub(crate) fn to_svg(&self, id: usize) -> Option<String> {
        let series: Vec<Series> = self.series.iter().map(Series::drawable).collect();
        let all = || series.iter().flat_map(|s| &s.points);
        let x = Axis::over(all().map(|p| p.0), LEFT, WIDTH - RIGHT)?;
        let y = Axis::over(all().map(|p| p.1), HEIGHT - BOTTOM, TOP)?;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-labelledby=\"t{id} d{id}\"><title id=\"t{id}\">{}</title>\
             <desc id=\"d{id}\">{}</desc>",
            escape(&self.title),
            escape(&self.description())
        );
        self.draw_axes(&mut svg, &x, &y);
        for (color, line) in series.iter().enumerate().filter(|(_, s)| !s.points.is_empty()) {
            let points: Vec<String> = line
                .points
                .iter()
                .map(|p| format!("{:.1},{:.1}", x.place(p.0), y.place(p.1)))
                .collect();
            let (class, points) = (color % 4, points.join(" "));
            let _ = write!(svg, "<polyline class=\"line c{class}\" points=\"{points}\"/>");
            // A single point is no line.
            if let [(px, py)] = line.points[..] {
                let (px, py) = (x.place(px), y.place(py));
                let _ = write!(
                    svg,
                    "<circle class=\"c{class}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\"/>"
                );
            }
        }
        svg.push_str("</svg>");
        Some(svg)
    }

    /// Sign, class and name of each line, where there are several.
    pub(crate) fn keys(&self) -> Vec<(char, &'static str, &str)> {
        let classes = ["c0", "c1", "c2", "c3"];
        match self.series.len() {
            0 | 1 => Vec::new(),
            _ => self
                .series
                .iter()
                .enumerate()
                .map(|(color, series)| ('—', classes[color % 4], series.name.as_str()))
                .collect(),
        }
    }

    fn draw_axes(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in y.ticks() {
            let (at, label) = (y.place(tick), y.label(tick));
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 6.0,
                at + 4.0
            );
        }
        for tick in x.ticks() {
            let (at, label) = (x.place(tick), x.label(tick));
            let _ = write!(
                svg,
                "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 16.0
            );
        }
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
             <text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text x=\"4\" y=\"{:.1}\">{}</text>",
            HEIGHT - 6.0,
            escape(&self.x_label),
            HEIGHT - 6.0,
            escape(&self.y_label)
        );
    }

    /// What the lines say, in words.
    fn description(&self) -> String {
        let of = |s: &Series| {
            let s = s.finite();
            let (Some(first), Some(last)) = (s.points.first(), s.points.last()) else {
                return format!("{}: no points.", s.name);
            };
            let lowest = s.points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
            let highest = s.points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
            format!(
                "{}: from {} at {x} {} to {} at {x} {}, lowest {}, highest {}.",
                s.name,
                number(first.1),
                number(first.0),
                number(last.1),
                number(last.0),
                number(lowest),
                number(highest),
                x = self.x_label
            )
        };
        self.series.iter().map(of).collect::<Vec<_>>().join(" ")
    }
}

impl Series {
    /// A line through points of any kind.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Series { name: name.into(), points }
    }

    fn finite(&self) -> Series {
        let sound = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite();
        Series::new(self.name.clone(), self.points.iter().filter(sound).copied().collect())
    }

    /// The same line with few enough points, each the mean of its neighbours.
    fn drawable(&self) -> Series {
        let Series { name, points } = self.finite();
        let size = points.len().div_ceil(MAX_POINTS).max(1);
        let mean = |group: &[(f64, f64)]| {
            let n = group.len() as f64;
            let sum = group.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
            (sum.0 / n, sum.1 / n)
        };
        Series { name, points: points.chunks(size).map(mean).collect() }
    }

    /// Up to `most` points, the first and last among them.
    pub(crate) fn sampled(&self, most: usize) -> Vec<(f64, f64)> {
        let points = self.finite().points;
        let Some(end) = points.len().checked_sub(1) else { return points };
        let step = end.div_ceil(most.max(2) - 1).max(1);
        let mut chosen: Vec<_> = points.iter().step_by(step).copied().collect();
        if end % step != 0 {
            chosen.push(points[end]);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_keep_their_ends_and_lose_points() {
        let points = (0..10_001).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let line = Series::new("x", points);
        assert!(line.drawable().points.len() <= MAX_POINTS);
        let sampled = line.sampled(12);
        assert!(sampled.len() <= 13);
        assert_eq!((sampled[0].0, sampled.last().unwrap().0), (0.0, 10_000.0));
        let broken = Series::new("x", vec![(0.0, f64::NAN), (1.0, 2.0)]);
        assert_eq!(broken.drawable().points, [(1.0, 2.0)]);
    }
}
