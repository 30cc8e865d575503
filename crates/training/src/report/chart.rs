//! A line chart as inline SVG: axes with round numbers, one line per series, title and description
//! for readers who do not see it. Colours come from the page's style sheet.

use std::fmt::Write;

use super::page::escape;

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
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

/// Points a line is drawn with; more cannot be told apart at this width.
const MOST_POINTS: usize = 400;

impl Chart {
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
        let size = points.len().div_ceil(MOST_POINTS).max(1);
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

/// A stretch of numbers and where it lies on the drawing.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// The smallest axis with round ends over some values.
    fn over(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Option<Axis> {
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return None;
        }
        let span = if high > low { high - low } else { high.abs().max(1.0) };
        // About five ticks, a power of ten apart, or twice or five times one.
        let rough = span / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough)?;
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        let high = if high > low { high } else { low + step };
        Some(Axis { low, high, step, start, end })
    }

    fn place(&self, value: f64) -> f64 {
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }

    fn ticks(&self) -> Vec<f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count.min(20)).map(|i| self.low + i as f64 * self.step).collect()
    }

    /// A tick with the digits its step needs.
    fn label(&self, tick: f64) -> String {
        if self.high.abs().max(self.low.abs()) >= 10_000.0 {
            return number(tick);
        }
        let decimals = (-self.step.log10().floor()).clamp(0.0, 6.0) as usize;
        // No "-0".
        format!("{:.decimals$}", tick + 0.0)
    }
}

/// A number as people write it: four figures, thousands and millions by letter.
pub(crate) fn number(x: f64) -> String {
    let (scaled, letter) = match x.abs() {
        a if a >= 1e9 => (x / 1e9, "G"),
        a if a >= 1e6 => (x / 1e6, "M"),
        a if a >= 1e4 => (x / 1e3, "k"),
        _ => (x, ""),
    };
    let magnitude = if scaled == 0.0 { 0 } else { scaled.abs().log10().floor() as i32 };
    let decimals = (3 - magnitude).clamp(0, 9) as usize;
    let text = format!("{scaled:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    text + letter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let written = [0.0, 1.0, 0.012_345_6, 2.615_28, 1234.5, 12_345.0, 2.5e6, -4e9].map(number);
        assert_eq!(written, ["0", "1", "0.01235", "2.615", "1234", "12.35k", "2.5M", "-4G"]);
    }

    #[test]
    fn axes_have_round_ends_around_all_values() {
        for (low, high) in
            [(0.0, 1.0), (2.31, 5.87), (-3.0, 8e6), (1e-4, 2e-4), (7.0, 7.0), (0.0, 0.0)]
        {
            let axis = Axis::over([low, high].into_iter(), 0.0, 100.0).unwrap();
            assert!(axis.low <= low && axis.high >= high, "{low}..{high}");
            let ticks = axis.ticks();
            assert!((2..=8).contains(&ticks.len()), "{ticks:?}");
            assert!(ticks.windows(2).all(|w| axis.label(w[0]) != axis.label(w[1])), "{ticks:?}");
            assert!(axis.place(low) >= 0.0 && axis.place(high) <= 100.0);
        }
        assert!(Axis::over(std::iter::empty(), 0.0, 1.0).is_none());
    }

    #[test]
    fn long_lines_keep_their_ends_and_lose_points() {
        let points = (0..10_001).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let line = Series::new("x", points);
        assert!(line.drawable().points.len() <= MOST_POINTS);
        let sampled = line.sampled(12);
        assert!(sampled.len() <= 13);
        assert_eq!((sampled[0].0, sampled.last().unwrap().0), (0.0, 10_000.0));
        let broken = Series::new("x", vec![(0.0, f64::NAN), (1.0, 2.0)]);
        assert_eq!(broken.drawable().points, [(1.0, 2.0)]);
    }
}
