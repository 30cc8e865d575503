//! A whole and its parts as one bar, inline SVG. Parts are distinguished by their number and place, not by
//! colour alone; the numbers stand in the legend and the table.

use std::fmt::Write;

use super::Table;
use super::axis::number;
use super::page::escape;

/// A bar of parts.
#[derive(Clone, Debug, PartialEq)]
pub struct StackBar {
    /// What it shows.
    pub title: String,
    /// What the parts are part of; what they leave of it stays empty.
    pub whole: f64,
    /// Parts, from the left.
    pub parts: Vec<StackPart>,
    /// The numbers; may hold more than is drawn.
    pub table: Table,
}

/// A part.
#[derive(Clone, Debug, PartialEq)]
pub struct StackPart {
    /// Its name.
    pub label: String,
    /// How much it is.
    pub value: f64,
    /// The same with its unit, for people.
    pub shown: String,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 44.0;
/// Parts narrower than this share of the whole are not drawn; the table has them.
const MIN_SHARE: f64 = 0.002;
/// Parts wide enough to hold their number.
const NUMBERED: f64 = 18.0;

/// Classes of the style sheet for fills, in turn.
pub(crate) const FILLS: [&str; 8] = ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7"];

impl StackBar {
    fn drawn(&self) -> impl Iterator<Item = (usize, &StackPart)> {
        let least = self.whole * MIN_SHARE;
        let parts = self.parts.iter().filter(move |p| p.value.is_finite() && p.value > least);
        parts.enumerate()
    }

    /// The drawing; `None` without a part. `id` must be distinct within the page.
    pub(crate) fn to_svg(&self, id: usize) -> Option<String> {
        if self.drawn().next().is_none() || !self.whole.is_finite() || self.whole <= 0.0 {
            return None;
        }
        let labels: Vec<String> =
            self.drawn().map(|(_, part)| format!("{}: {}.", part.label, part.shown)).collect();
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-labelledby=\"t{id} d{id}\"><title id=\"t{id}\">{}</title>\
             <desc id=\"d{id}\">{}</desc>\
             <rect class=\"frame\" x=\"0.5\" y=\"4.5\" width=\"{}\" height=\"35\"/>",
            escape(&self.title),
            escape(&labels.join(" ")),
            WIDTH - 1.0
        );
        let sum: f64 = self.drawn().map(|(_, part)| part.value).sum();
        let scale = WIDTH / self.whole.max(sum);
        let mut x = 0.0;
        for (place, part) in self.drawn() {
            let width = part.value * scale;
            let _ = write!(
                svg,
                "<rect class=\"part {}\" x=\"{x:.1}\" y=\"4\" width=\"{width:.1}\" height=\"36\">\
                 <title>{}: {}</title></rect>",
                FILLS[place % FILLS.len()],
                escape(&part.label),
                escape(&part.shown)
            );
            if width >= NUMBERED {
                let _ = write!(
                    svg,
                    "<text class=\"on\" x=\"{:.1}\" y=\"26\" text-anchor=\"middle\">{}</text>",
                    x + width / 2.0,
                    place + 1
                );
            }
            x += width;
        }
        svg.push_str("</svg>");
        Some(svg)
    }

    /// Number, class and name of each part.
    pub(crate) fn keys(&self) -> Vec<(String, &'static str, String)> {
        self.drawn()
            .map(|(place, part)| {
                let sign = format!("■ {}", place + 1);
                (sign, FILLS[place % FILLS.len()], format!("{} · {}", part.label, part.shown))
            })
            .collect()
    }

    /// The numbers: as given, or of the parts.
    pub(crate) fn numbers(&self) -> Table {
        if !self.table.rows.is_empty() {
            return self.table.clone();
        }
        let row = |part: &StackPart| vec![part.label.clone(), part.shown.clone()];
        Table {
            header: vec![self.title.clone(), number(self.whole)],
            rows: self.parts.iter().map(row).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fill_their_share_and_nothing_is_cut_off() {
        let part = |label: &str, value: f64| StackPart {
            label: label.into(),
            value,
            shown: format!("{value} s"),
        };
        let mut bar = StackBar {
            title: "Step".into(),
            whole: 10.0,
            parts: vec![part("a", 5.0), part("<b>", 2.5), part("none", 0.0)],
            table: Table::default(),
        };
        let svg = bar.to_svg(1).unwrap();
        assert!(svg.contains("width=\"320.0\"") && svg.contains("&lt;b&gt;: 2.5 s"), "{svg}");
        assert_eq!(bar.keys().len(), 2);
        assert_eq!(bar.numbers().rows.len(), 3);
        // More parts than the whole: the bar holds them all.
        bar.whole = 5.0;
        assert!(bar.to_svg(1).unwrap().contains("width=\"426.7\""));
        assert_eq!(StackBar { parts: Vec::new(), ..bar }.to_svg(1), None);
    }
}
