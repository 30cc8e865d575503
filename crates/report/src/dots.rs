//! A dot plot as inline SVG: a row per category, a mark per group. Groups are distinguished by shape and
//! colour.

use std::fmt::Write;

use super::Table;
use super::axis::{Axis, number};
use super::page::escape;

/// A dot plot.
#[derive(Clone, Debug, PartialEq)]
pub struct DotPlot {
    /// What it shows.
    pub title: String,
    /// Name and unit of the horizontal axis, which begins at zero.
    pub x_label: String,
    /// Names of the groups.
    pub groups: Vec<String>,
    /// Rows, from above.
    pub rows: Vec<DotRow>,
    /// The numbers; may hold more than is drawn.
    pub table: Table,
}

/// A category.
#[derive(Clone, Debug, PartialEq)]
pub struct DotRow {
    /// Its name.
    pub label: String,
    /// A value for every group; nothing where there is none.
    pub values: Vec<Option<f64>>,
}

const WIDTH: f64 = 640.0;
const LEFT: f64 = 196.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;
const ROW: f64 = 24.0;
/// Shapes that groups are distinguished by; beyond, they repeat with other colours.
const SIGNS: [char; 4] = ['●', '■', '▲', '◆'];

impl DotPlot {
    /// The drawing; `None` when no row has a value. `id` must be distinct within the page.
    pub(crate) fn to_svg(&self, id: usize) -> Option<String> {
        let values = self.rows.iter().flat_map(|row| row.values.iter().flatten().copied());
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        if values.is_empty() {
            return None;
        }
        let x = Axis::over(values.into_iter().chain([0.0]), LEFT, WIDTH - RIGHT)?;
        let bottom = TOP + ROW * self.rows.len() as f64;
        let height = bottom + BOTTOM;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-labelledby=\"t{id} d{id}\"><title id=\"t{id}\">{}</title>\
             <desc id=\"d{id}\">{}</desc>",
            escape(&self.title),
            escape(&self.description())
        );
        x.draw_below(&mut svg, bottom, TOP, &self.x_label);
        for (at, row) in self.rows.iter().enumerate() {
            let y = TOP + ROW * (at as f64 + 0.5);
            let _ = write!(
                svg,
                "<text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\"/>",
                LEFT - 8.0,
                y + 4.0,
                escape(&row.label),
                WIDTH - RIGHT
            );
            for (group, value) in row.values.iter().enumerate() {
                if let Some(value) = value.filter(|value| value.is_finite()) {
                    draw(&mut svg, group, x.place(value), y);
                }
            }
        }
        svg.push_str("</svg>");
        Some(svg)
    }

    /// Sign, class and name of each group.
    pub(crate) fn keys(&self) -> Vec<(char, &'static str, &str)> {
        let groups = self.groups.iter().enumerate();
        groups.map(|(group, name)| (SIGNS[group % 4], class(group), name.as_str())).collect()
    }

    fn description(&self) -> String {
        let of = |row: &DotRow| {
            let values = self.groups.iter().zip(&row.values);
            let labels: Vec<String> = values
                .filter_map(|(group, value)| Some(format!("{group} {}", number((*value)?))))
                .collect();
            format!("{}: {}.", row.label, labels.join(", "))
        };
        self.rows.iter().map(of).collect::<Vec<_>>().join(" ")
    }
}

fn class(group: usize) -> &'static str {
    ["c0", "c1", "c2", "c3"][(group / 4 % 4) ^ (group % 4)]
}

fn draw(svg: &mut String, group: usize, x: f64, y: f64) {
    let class = class(group);
    let _ = match group % 4 {
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
    fn every_value_has_its_mark() {
        let plot = DotPlot {
            title: "Rates".into(),
            x_label: "%".into(),
            groups: vec!["left".into(), "right".into()],
            rows: vec![
                DotRow { label: "a".into(), values: vec![Some(1.5), Some(3.0)] },
                DotRow { label: "b".into(), values: vec![None, Some(f64::NAN)] },
            ],
            table: Table::default(),
        };
        let svg = plot.to_svg(1).unwrap();
        assert_eq!((svg.matches("<circle").count(), svg.matches("<rect").count()), (1, 1));
        assert!(svg.contains("a: left 1.5, right 3."), "{svg}");
        assert_eq!(plot.keys()[1], ('■', "c1", "right"));
        assert_eq!(DotPlot { rows: Vec::new(), ..plot }.to_svg(1), None);
    }
}
