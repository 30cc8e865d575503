//! Axes with round ends, and numbers as people write them.

use std::fmt::Write;

use super::page::escape;

/// A stretch of numbers and where it lies on the drawing.
pub(crate) struct Axis {
    low: f64,
    high: f64,
    step: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// The smallest axis with round ends over some values.
    pub(crate) fn over(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Option<Axis> {
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

    pub(crate) fn place(&self, value: f64) -> f64 {
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }

    pub(crate) fn ticks(&self) -> Vec<f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count.min(20)).map(|i| self.low + i as f64 * self.step).collect()
    }

    /// Draws this axis below a plot that reaches from `top` to `bottom`: grid, ticks, name.
    pub(crate) fn draw_below(&self, svg: &mut String, bottom: f64, top: f64, name: &str) {
        for tick in self.ticks() {
            let (at, label) = (self.place(tick), self.label(tick));
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 16.0
            );
        }
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            self.start,
            self.end,
            self.end,
            bottom + 34.0,
            escape(name)
        );
    }

    /// A tick with the digits its step needs.
    pub(crate) fn label(&self, tick: f64) -> String {
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
}
