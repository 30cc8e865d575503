//! Tables of published runs, in the columns of `training-runs.csv`: every line is read to a case or
//! refused with its reason, and no line keeps the others from being read. What a case is stands in
//! [`super::case`].

use serde::Serialize;

use super::Case;
use crate::error::{PlanError, Result};
use crate::hardware::Accelerators;
use crate::model::Models;
use crate::software;

/// A row as it stands in the file.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Identity of the row.
    pub id: String,
    /// Source table.
    pub group: String,
    /// Name of the model.
    pub model: String,
    /// dense or moe.
    pub arch: String,
    /// Parameters in billions.
    pub params_b: Option<f64>,
    /// Parameters a token passes through, in billions.
    pub active_params_b: Option<f64>,
    /// Blocks.
    pub layers: Option<usize>,
    /// Width.
    pub hidden: Option<usize>,
    /// Feed-forward width.
    pub ffn: Option<usize>,
    /// Heads.
    pub heads: Option<usize>,
    /// Key-value heads.
    pub kv_heads: Option<usize>,
    /// Vocabulary.
    pub vocab: Option<usize>,
    /// Tokens of a sequence.
    pub seq: Option<usize>,
    /// Devices.
    pub gpus: Option<usize>,
    /// Device.
    pub gpu_type: String,
    /// Tensor-parallel ranks.
    pub tp: Option<usize>,
    /// Pipeline stages.
    pub pp: Option<usize>,
    /// Chunks of a stage.
    pub vpp: Option<usize>,
    /// Data-parallel replicas.
    pub dp: Option<usize>,
    /// Context-parallel ranks.
    pub cp: Option<usize>,
    /// Expert-parallel ranks.
    pub ep: Option<usize>,
    /// What replicas share.
    pub sharding: String,
    /// Sequences of a micro-batch.
    pub micro_batch: Option<usize>,
    /// Sequences of a step.
    pub global_batch_seqs: Option<usize>,
    /// Number format.
    pub precision: String,
    /// What is recomputed.
    pub recompute: String,
    /// Training program.
    pub framework: String,
    /// Measured step.
    pub step_time_s: Option<f64>,
    /// Measured throughput.
    pub tokens_per_s_per_gpu: Option<f64>,
    /// Measured rate.
    pub tflops_per_gpu: Option<f64>,
    /// What that rate counts.
    pub tflops_kind: String,
    /// Measured utilisation, in percent.
    pub mfu_pct: Option<f64>,
    /// The same with recompute counted.
    pub hfu_pct: Option<f64>,
    /// Rate that utilisation refers to.
    pub peak_tflops_basis: Option<f64>,
    /// Measured memory of a device.
    pub memory_gib: Option<f64>,
    /// What to know.
    pub notes: String,
}

/// A line that holds no run that can be predicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Line of the file, from 1.
    pub line: u64,
    /// Its id, or nothing.
    pub id: String,
    /// What is wrong with it and what would do.
    pub reason: String,
}

/// A table read.
#[derive(Clone, Debug)]
pub struct Table {
    /// Rows that can be predicted.
    pub cases: Vec<Case>,
    /// Rows that cannot.
    pub refused: Vec<Refused>,
}

/// Reads a table of runs. Rows that cannot be predicted are named in the answer.
///
/// # Errors
/// When it is no table of runs: without the columns that every row needs, or without rows.
pub fn read_rows(text: &str, place: &str) -> Result<Table> {
    let malformed =
        |reason: String| PlanError::Malformed { place: format!("{place} line 1"), reason };
    let (gpus, models, programs) =
        (Accelerators::published(), Models::published(), software::published());
    // Spreadsheets write a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|e| malformed(e.to_string()))?.clone();
    let headers: Vec<String> = headers.iter().map(|h| h.trim().to_lowercase()).collect();
    for needed in ["model", "gpus", "gpu_type"] {
        if !headers.iter().any(|h| h == needed) {
            let reason = format!("no column `{needed}`; the first line must name the columns");
            return Err(malformed(reason));
        }
    }
    let mut table = Table { cases: Vec::new(), refused: Vec::new() };
    for (index, record) in reader.records().enumerate() {
        let mut id = String::new();
        let (line, read) = match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                let cells = Cells { headers: &headers, record: &record };
                id = cells.text("id");
                let read = cells.row().and_then(|row| {
                    Case::from_row(row, &gpus, &models, &programs).map_err(|e| e.to_string())
                });
                (line, read)
            }
            Err(error) => {
                let line = error.position().map_or(index as u64 + 2, csv::Position::line);
                (line, Err(error.to_string()))
            }
        };
        match read {
            Ok(case) => table.cases.push(case),
            Err(reason) => table.refused.push(Refused { line, id, reason }),
        }
    }
    if table.cases.is_empty() && table.refused.is_empty() {
        return Err(malformed("no rows below the first line".to_owned()));
    }
    Ok(table)
}

/// Words for a cell that says nothing.
const MISSING: &[&str] = &["", "-", "–", "—", "?", "na", "n/a", "nan", "none", "null", "unknown"];

struct Cells<'a> {
    headers: &'a [String],
    record: &'a csv::StringRecord,
}

impl Cells<'_> {
    fn text(&self, name: &str) -> String {
        let at = self.headers.iter().position(|h| h == name);
        at.and_then(|at| self.record.get(at)).unwrap_or_default().to_owned()
    }

    /// A number above 0; nothing for an empty cell.
    fn number(&self, name: &str) -> std::result::Result<Option<f64>, String> {
        let text = self.text(name);
        if MISSING.contains(&text.to_lowercase().as_str()) {
            return Ok(None);
        }
        let digits = text.replace([',', '_', ' '], "");
        match digits.trim_end_matches('%').parse::<f64>() {
            Ok(value) if value.is_finite() && value > 0.0 => Ok(Some(value)),
            Ok(_) => Err(format!("`{name}` is {text}; give a number above 0 or leave it empty")),
            Err(_) => Err(format!("`{name}` is `{text}`, not a number; leave it empty if unknown")),
        }
    }

    /// A whole number above 0.
    fn count(&self, name: &str) -> std::result::Result<Option<usize>, String> {
        match self.number(name)? {
            Some(value) if value.fract() != 0.0 || value > 1e9 => {
                Err(format!("`{name}` is {value}; give a whole number up to 1e9"))
            }
            value => Ok(value.map(|v| v as usize)),
        }
    }

    fn row(&self) -> std::result::Result<Row, String> {
        let (number, count) = (|name| self.number(name), |name| self.count(name));
        Ok(Row {
            id: self.text("id"),
            group: self.text("group"),
            model: self.text("model"),
            arch: self.text("arch"),
            params_b: number("params_b")?,
            active_params_b: number("active_params_b")?,
            layers: count("layers")?,
            hidden: count("hidden")?,
            ffn: count("ffn")?,
            heads: count("heads")?,
            kv_heads: count("kv_heads")?,
            vocab: count("vocab")?,
            seq: count("seq")?,
            gpus: count("gpus")?,
            gpu_type: self.text("gpu_type"),
            tp: count("tp")?,
            pp: count("pp")?,
            vpp: count("vpp")?,
            dp: count("dp")?,
            cp: count("cp")?,
            ep: count("ep")?,
            sharding: self.text("sharding"),
            micro_batch: count("micro_batch")?,
            global_batch_seqs: count("global_batch_seqs")?,
            precision: self.text("precision"),
            recompute: self.text("recompute"),
            framework: self.text("framework"),
            step_time_s: number("step_time_s")?,
            tokens_per_s_per_gpu: number("tokens_per_s_per_gpu")?,
            tflops_per_gpu: number("tflops_per_gpu")?,
            tflops_kind: self.text("tflops_kind"),
            mfu_pct: number("mfu_pct")?,
            hfu_pct: number("hfu_pct")?,
            peak_tflops_basis: number("peak_tflops_basis")?,
            memory_gib: number("memory_gib")?,
            notes: self.text("notes"),
        })
    }
}
