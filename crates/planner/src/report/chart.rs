//! Charts as inline SVG: stacked bar, horizontal bars, ranges, scatter, lines. Colours come from
//! the page's style sheet (classes c0 to c11), so that dark and light both work.

use std::fmt::Write as _;

/// Replaces what HTML would take for markup.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const WIDTH: f64 = 720.0;

fn open(height: f64, title: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\"><title>{}</title>",
        escape(title)
    )
}

/// One bar of parts with a legend below: (name, size, label). Parts of nothing are left out.
pub fn stack(title: &str, parts: &[(String, f64, String)], whole: f64) -> String {
    let shown: Vec<(usize, &(String, f64, String))> =
        parts.iter().enumerate().filter(|(_, p)| p.1 > whole * 0.002).collect();
    let rows = shown.len().div_ceil(3);
    let mut svg = open(56.0 + 20.0 * rows as f64, title);
    let mut x = 0.0;
    for (color, (name, size, label)) in &shown {
        let width = size / whole * WIDTH;
        let _ = write!(
            svg,
            "<rect class=\"c{}\" x=\"{x:.1}\" y=\"4\" width=\"{width:.1}\" height=\"36\">\
             <title>{}: {}</title></rect>",
            color % 12,
            escape(name),
            escape(label)
        );
        x += width;
    }
    let _ = write!(
        svg,
        "<rect class=\"frame\" x=\"0.5\" y=\"4\" width=\"{:.1}\" height=\"36\"/>",
        WIDTH - 1.0
    );
    for (place, (color, (name, _, label))) in shown.iter().enumerate() {
        let x = (place % 3) as f64 * WIDTH / 3.0;
        let y = 62.0 + (place / 3) as f64 * 20.0;
        let _ = write!(
            svg,
            "<rect class=\"c{}\" x=\"{x:.0}\" y=\"{:.0}\" width=\"10\" height=\"10\"/>\
             <text x=\"{:.0}\" y=\"{y:.0}\">{} · {}</text>",
            color % 12,
            y - 10.0,
            x + 16.0,
            escape(name),
            escape(label)
        );
    }
    svg + "</svg>"
}

/// Rows that each span from one value to another around a middle: (name, low, high).
pub fn tornado(title: &str, rows: &[(String, f64, f64)], middle: f64, unit: &str) -> String {
    let low = rows.iter().map(|r| r.1.min(r.2)).fold(middle, f64::min);
    let high = rows.iter().map(|r| r.1.max(r.2)).fold(middle, f64::max);
    let (left, right) = (230.0, WIDTH - 70.0);
    let place = |v: f64| left + 40.0 + (v - low) / (high - low).max(1e-12) * (right - left - 40.0);
    let mut svg = open(24.0 * rows.len() as f64 + 12.0, title);
    for (i, (name, a, b)) in rows.iter().enumerate() {
        let y = 8.0 + 24.0 * i as f64;
        let (from, to) = (place(a.min(*b)), place(a.max(*b)));
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
             <rect class=\"c1\" x=\"{from:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"14\"/>\
             <text class=\"small\" x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"end\">{:.1}</text>\
             <text class=\"small\" x=\"{:.1}\" y=\"{:.0}\">{:.1} {}</text>",
            left - 8.0,
            y + 12.0,
            escape(name),
            (to - from).max(1.0),
            from - 4.0,
            y + 12.0,
            a.min(*b),
            to + 4.0,
            y + 12.0,
            a.max(*b),
            escape(unit)
        );
    }
    let x = place(middle);
    let bottom = 24.0 * rows.len() as f64 + 4.0;
    let _ = write!(
        svg,
        "<line class=\"axis\" x1=\"{x:.1}\" y1=\"2\" x2=\"{x:.1}\" y2=\"{bottom:.0}\"/>"
    );
    svg + "</svg>"
}

/// A series of points.
pub struct Series {
    /// Name.
    pub name: String,
    /// Points: x, y, and what to say of each.
    pub points: Vec<(f64, f64, String)>,
    /// Joined by a line.
    pub joined: bool,
}

/// Points over two axes; `log_x` spaces x by powers of two.
pub fn plot(title: &str, x_label: &str, y_label: &str, series: &[Series], log_x: bool) -> String {
    let (left, right, top, bottom) = (64.0, WIDTH - 16.0, 14.0, 240.0);
    let all = || series.iter().flat_map(|s| &s.points);
    let scale = |x: f64| if log_x { x.log2() } else { x };
    let x_axis = Axis::over(all().map(|p| scale(p.0)), left, right, log_x);
    let y_axis = Axis::over(all().map(|p| p.1), bottom, top, false);
    let mut svg = open(292.0, title);
    for tick in &y_axis.ticks {
        let y = y_axis.place(*tick);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
             <text class=\"small\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            y + 4.0,
            short(*tick)
        );
    }
    for tick in &x_axis.ticks {
        let x = x_axis.place(*tick);
        let value = if log_x { tick.exp2() } else { *tick };
        let _ = write!(
            svg,
            "<text class=\"small\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            bottom + 16.0,
            short(value)
        );
    }
    for (color, line) in series.iter().enumerate() {
        let at: Vec<(f64, f64)> =
            line.points.iter().map(|p| (x_axis.place(scale(p.0)), y_axis.place(p.1))).collect();
        if line.joined {
            let path: Vec<String> = at.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = write!(svg, "<polyline class=\"l{color}\" points=\"{}\"/>", path.join(" "));
        }
        for ((x, y), point) in at.iter().zip(&line.points) {
            let _ = write!(
                svg,
                "<circle class=\"c{color}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}</title></circle>",
                escape(&point.2)
            );
        }
        let _ = write!(
            svg,
            "<rect class=\"c{color}\" x=\"{:.0}\" y=\"278\" width=\"10\" height=\"10\"/>\
             <text x=\"{:.0}\" y=\"288\">{}</text>",
            left + 230.0 * color as f64,
            left + 16.0 + 230.0 * color as f64,
            escape(&line.name)
        );
    }
    let _ = write!(
        svg,
        "<text class=\"small\" x=\"{right}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
         <text class=\"small\" x=\"{left}\" y=\"10\">{}</text>",
        bottom + 30.0,
        escape(x_label),
        escape(y_label)
    );
    svg + "</svg>"
}

struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64, whole: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let span = (high - low).max(high.abs() * 0.02).max(1e-9);
        let rough = span / 5.0;
        let power = 10.0_f64.powf(rough.log10().floor());
        let step = if whole {
            1.0
        } else {
            let nice = [1.0, 2.0, 5.0, 10.0];
            power * nice.into_iter().find(|n| n * power >= rough).unwrap_or(10.0)
        };
        let low = (low / step).floor() * step;
        let high = ((high / step).ceil() * step).max(low + step);
        let count = ((high - low) / step).round() as usize;
        let ticks = (0..=count).map(|i| low + step * i as f64).collect();
        Axis { low, high, from, to, ticks }
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

/// A tick as short as it can be.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1024.0 && value.log2().fract() == 0.0 => format!("{:.0}k", value / 1024.0),
        v if v >= 10_000.0 => format!("{:.0}k", value / 1000.0),
        v if v >= 10.0 || v == 0.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_ticks_that_hold_the_values() {
        let axis = Axis::over([3.2, 17.9].into_iter(), 0.0, 100.0, false);
        assert!(axis.low <= 3.2 && axis.high >= 17.9 && axis.ticks.len() <= 8, "{:?}", axis.ticks);
        let flat = Axis::over([5.0, 5.0].into_iter(), 0.0, 100.0, false);
        assert!(flat.place(5.0).is_finite());
        assert!(Axis::over(std::iter::empty(), 0.0, 1.0, false).place(0.5).is_finite());
    }

    #[test]
    fn markup_in_names_is_escaped() {
        let parts = [("<b>".to_owned(), 1.0, "1 & 2".to_owned())];
        let svg = stack("t", &parts, 1.0);
        assert!(!svg.contains("<b>") && svg.contains("&lt;b&gt;") && svg.contains("1 &amp; 2"));
    }
}
