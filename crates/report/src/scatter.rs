//! Points over two axes as inline SVG, joined to lines where they follow each other. Series are
//! distinguished by the shape of their points; the horizontal axis may be by powers of two.

use std::fmt::Write;

use super::Table;
use super::axis::{Axis, number};
use super::page::escape;

/// Points over two axes.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterChart {
    /// What it shows.
    pub title: String,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Name and unit of the vertical axis.
    pub y_label: String,
    /// The horizontal axis goes by powers of two.
    pub log_x: bool,
    /// Series.
    pub series: Vec<ScatterSeries>,
    /// The numbers; may hold more than is drawn.
    pub table: Table,
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterSeries {
    /// Name.
    pub name: String,
    /// Points, and what to say of each.
    pub points: Vec<(f64, f64, String)>,
    /// Joined by a line, in this order.
    pub joined: bool,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 40.0;
const SIGNS: [&str; 4] = ["●", "■", "▲", "◆"];
const CLASSES: [&str; 4] = ["c0", "c1", "c2", "c3"];

impl ScatterChart {
    fn scaled(&self, x: f64) -> f64 {
        if self.log_x { x.log2() } else { x }
    }

    fn finite<'a>(
        &'a self,
        series: &'a ScatterSeries,
    ) -> impl Iterator<Item = (f64, f64, &'a str)> + 'a {
        let points = series.points.iter().map(|p| (self.scaled(p.0), p.1, p.2.as_str()));
        points.filter(|p| p.0.is_finite() && p.1.is_finite())
    }

    /// The drawing; `None` without a point. `id` must be distinct within the page.
    pub(crate) fn to_svg(&self, id: usize) -> Option<String> {
        let all = || self.series.iter().flat_map(|series| self.finite(series));
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
        for (place, series) in self.series.iter().enumerate() {
            let points: Vec<(f64, f64, &str)> =
                self.finite(series).map(|p| (x.place(p.0), y.place(p.1), p.2)).collect();
            let class = CLASSES[place % 4];
            if series.joined && points.len() > 1 {
                let line: Vec<String> =
                    points.iter().map(|p| format!("{:.1},{:.1}", p.0, p.1)).collect();
                let _ =
                    write!(svg, "<polyline class=\"line {class}\" points=\"{}\"/>", line.join(" "));
            }
            for (px, py, label) in points {
                let _ = write!(svg, "<g><title>{}</title>", escape(label));
                mark(&mut svg, place, px, py);
                svg.push_str("</g>");
            }
        }
        svg.push_str("</svg>");
        Some(svg)
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
            let at = x.place(tick);
            let label = if self.log_x { number(tick.exp2().round()) } else { x.label(tick) };
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
             <text x=\"4\" y=\"12\">{}</text>",
            HEIGHT - 6.0,
            escape(&self.x_label),
            escape(&self.y_label)
        );
    }

    /// Sign, class and name of each series, where there are several.
    pub(crate) fn keys(&self) -> Vec<(String, &'static str, String)> {
        if self.series.len() < 2 {
            return Vec::new();
        }
        let series = self.series.iter().enumerate();
        series
            .map(|(place, s)| (SIGNS[place % 4].to_owned(), CLASSES[place % 4], s.name.clone()))
            .collect()
    }

    fn description(&self) -> String {
        let of = |series: &ScatterSeries| {
            let labels: Vec<String> = series
                .points
                .iter()
                .take(12)
                .map(|p| format!("{} at {}", number(p.1), number(p.0)))
                .collect();
            format!("{}: {}.", series.name, labels.join(", "))
        };
        self.series.iter().map(of).collect::<Vec<_>>().join(" ")
    }
}

fn mark(svg: &mut String, place: usize, x: f64, y: f64) {
    let class = CLASSES[place % 4];
    let _ = match place % 4 {
        0 => write!(svg, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
        1 => write!(
            svg,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>",
            x - 4.0,
            y - 4.0
        ),
        2 => write!(svg, "<path class=\"{class}\" d=\"M{x:.1} {:.1}l5 9l-10 0z\"/>", y - 5.0),
        _ => write!(svg, "<path class=\"{class}\" d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\"/>", y - 5.0),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_marked_joined_and_labelled() {
        let series = |name: &str, joined: bool| ScatterSeries {
            name: name.into(),
            points: vec![
                (1024.0, 90.0, "a".into()),
                (4096.0, 70.0, "<b>".into()),
                (0.0, 1.0, "left out".into()),
            ],
            joined,
        };
        let chart = ScatterChart {
            title: "Useful".into(),
            x_label: "devices".into(),
            y_label: "%".into(),
            log_x: true,
            series: vec![series("one", true), series("two", false)],
            table: Table::default(),
        };
        let svg = chart.to_svg(1).unwrap();
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert_eq!((svg.matches("<circle").count(), svg.matches("<rect").count()), (2, 2));
        assert!(svg.contains(">1024</text>") && svg.contains("&lt;b&gt;"), "{svg}");
        assert_eq!(chart.keys().len(), 2);
        assert_eq!(ScatterChart { series: Vec::new(), ..chart }.to_svg(1), None);
    }
}
