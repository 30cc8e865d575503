//! How far each input moves a result, as inline SVG: a bar from one value to another for each row, and a
//! line at the middle.

use std::fmt::Write;

use super::Table;
use super::axis::{Axis, number};
use super::page::escape;

/// Ranges around a middle.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeChart {
    /// What it shows.
    pub title: String,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Where the line is.
    pub middle: f64,
    /// Rows, from above: name and both ends.
    pub rows: Vec<(String, [f64; 2])>,
    /// Headings of the table: what varies, and its two ends.
    pub header: [String; 3],
}

const WIDTH: f64 = 640.0;
const LEFT: f64 = 206.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;
const ROW: f64 = 22.0;

impl RangeChart {
    fn finite(&self) -> impl Iterator<Item = &(String, [f64; 2])> {
        self.rows.iter().filter(|row| row.1.iter().all(|end| end.is_finite()))
    }

    /// The drawing; `None` without a row. `id` must be distinct within the page.
    pub(crate) fn to_svg(&self, id: usize) -> Option<String> {
        let rows: Vec<&(String, [f64; 2])> = self.finite().collect();
        if rows.is_empty() {
            return None;
        }
        let ends = rows.iter().flat_map(|row| row.1).chain([self.middle]);
        let x = Axis::over(ends, LEFT, WIDTH - RIGHT)?;
        let bottom = TOP + ROW * rows.len() as f64;
        let height = bottom + BOTTOM;
        let labels = rows
            .iter()
            .map(|(name, [low, high])| format!("{name}: {} – {}.", number(*low), number(*high)));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-labelledby=\"t{id} d{id}\"><title id=\"t{id}\">{}</title>\
             <desc id=\"d{id}\">{}</desc>",
            escape(&self.title),
            escape(&labels.collect::<Vec<_>>().join(" "))
        );
        x.draw_below(&mut svg, bottom, TOP, &self.x_label);
        for (place, (name, ends)) in rows.into_iter().enumerate() {
            let y = TOP + ROW * place as f64;
            let (a, b) = (x.place(ends[0]), x.place(ends[1]));
            let _ = write!(
                svg,
                "<text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <rect class=\"part f1\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\"/>",
                LEFT - 8.0,
                y + 15.0,
                escape(name),
                a.min(b),
                y + 4.0,
                (a - b).abs().max(1.0)
            );
        }
        let at = x.place(self.middle);
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/></svg>"
        );
        Some(svg)
    }

    /// The numbers.
    pub(crate) fn numbers(&self) -> Table {
        let row = |(name, [low, high]): &(String, [f64; 2])| {
            vec![name.clone(), number(*low), number(*high)]
        };
        Table { header: self.header.to_vec(), rows: self.finite().map(row).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_span_from_end_to_end_whichever_is_larger() {
        let chart = RangeChart {
            title: "Bill".into(),
            x_label: "M$".into(),
            middle: 5.0,
            rows: vec![("price".into(), [8.0, 2.0]), ("odd".into(), [f64::NAN, 1.0])],
            header: ["input".into(), "low".into(), "high".into()],
        };
        let svg = chart.to_svg(1).unwrap();
        assert_eq!(svg.matches("<rect").count(), 1);
        assert!(svg.contains("price: 8 – 2."), "{svg}");
        assert_eq!(chart.numbers().rows, [["price", "8", "2"]]);
        assert_eq!(RangeChart { rows: Vec::new(), ..chart }.to_svg(1), None);
    }
}
