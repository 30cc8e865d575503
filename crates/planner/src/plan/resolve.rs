//! From a question to something that can be computed: names looked up, gaps filled and said.

use crate::calibration::Calibration;
use crate::error::{PlanError, Result};
use crate::failures::Failures;
use crate::hardware::{Accelerators, Gpu, Precision};
use crate::layout::Layout;
use crate::learning::{Learning, shape_of_size};
use crate::model::{ModelShape, Models};
use crate::money::Prices;
use crate::software::{self, Software};
use crate::units::{ByteRate, Dollars, Flops, Seconds};

use super::question::{Question, parse_count, parse_days, parse_dollars, parse_layout};

/// Everything published that a plan rests on.
#[derive(Clone, Debug)]
pub struct Knowledge {
    /// Devices.
    pub accelerators: Accelerators,
    /// Models.
    pub models: Models,
    /// Training programs.
    pub programs: Vec<Software>,
    /// Failures.
    pub failures: Failures,
    /// Prices.
    pub prices: Prices,
    /// Laws of learning.
    pub learning: Learning,
    /// Fitted constants and their error.
    pub calibration: Calibration,
}

impl Knowledge {
    /// The data files shipped with this crate.
    pub fn published() -> Self {
        Knowledge {
            accelerators: Accelerators::published(),
            models: Models::published(),
            programs: software::published(),
            failures: Failures::published(),
            prices: Prices::published(),
            learning: Learning::published(),
            calibration: Calibration::published(),
        }
    }
}

/// A question ready to be answered.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Model.
    pub model: ModelShape,
    /// Device.
    pub gpu: Gpu,
    /// Devices that train; `None` to find the number.
    pub gpus: Option<usize>,
    /// Tokens to train on; `None` for what the budget affords.
    pub tokens: Option<f64>,
    /// Tokens of a sequence.
    pub seq: usize,
    /// Sequences of a step, and whether they were asked for.
    pub global_batch: Option<usize>,
    /// Number format.
    pub precision: Precision,
    /// Training program.
    pub software: Software,
    /// Layout to take instead of searching.
    pub layout: Option<Layout>,
    /// Most that may be spent.
    pub budget: Option<Dollars>,
    /// Longest it may take.
    pub deadline: Option<Seconds>,
    /// Rent of a device-hour.
    pub rent: Option<f64>,
    /// Spare machines.
    pub spares: Option<usize>,
    /// Interruptions for 1,000 machine-days.
    pub failures: Option<f64>,
    /// Shared storage.
    pub storage: Option<ByteRate>,
    /// Seed.
    pub seed: u64,
    /// What was filled in, in words.
    pub assumptions: Vec<String>,
}

/// Resolves a question; `given` is the shape of a file the caller read, in place of a name.
///
/// # Errors
/// When a name is unknown, a quantity senseless, or too little is said.
pub fn resolve(
    question: &Question,
    given: Option<ModelShape>,
    known: &Knowledge,
) -> Result<Resolved> {
    let mut assumptions = Vec::new();
    let budget = question.budget.as_deref().map(|b| parse_dollars("budget", b)).transpose()?;
    let deadline = question.deadline.as_deref().map(|d| parse_days("deadline", d)).transpose()?;
    let (gpus, gpu) = devices(question, known, &mut assumptions)?;
    let precision = precision(question, &gpu, &mut assumptions)?;
    let tokens = question.tokens.as_deref().map(|t| parse_count("tokens", t)).transpose()?;
    let model = match (given, question.model.as_deref()) {
        (Some(shape), _) => shape,
        (None, Some(name)) => named_model(name, known, &mut assumptions)?,
        (None, None) => model_of_budget(budget, &gpu, question, known, &mut assumptions)?,
    };
    model.check()?;
    let tokens = match (tokens, budget) {
        (Some(tokens), _) => Some(tokens),
        (None, Some(_)) => None,
        (None, _) => {
            let tokens = known.learning.optimal_tokens(model.active_params());
            assumptions.push(format!(
                "tokens not given: {:.3}T, twenty for each active parameter (compute-optimal)",
                tokens / 1e12
            ));
            Some(tokens)
        }
    };
    let seq = match question.seq {
        Some(0) => {
            return Err(PlanError::Quantity {
                what: "seq".to_owned(),
                value: "0".to_owned(),
                remedy: "give the tokens of a sequence, for example 8192".to_owned(),
            });
        }
        Some(seq) => seq,
        None => {
            assumptions.push("sequences of 8,192 tokens".to_owned());
            8192
        }
    };
    let global_batch = match question.batch.as_deref() {
        None => None,
        Some(text) => {
            let batch = parse_count("batch", text)?;
            let sequences = (batch / seq as f64).round();
            if sequences < 1.0 {
                return Err(PlanError::Quantity {
                    what: "batch".to_owned(),
                    value: format!("{text} tokens"),
                    remedy: format!("a step holds at least one sequence of {seq} tokens"),
                });
            }
            Some(sequences as usize)
        }
    };
    let software = software::find(&known.programs, question.software.as_deref().unwrap_or(""));
    Ok(Resolved {
        gpus,
        gpu,
        model,
        tokens,
        seq,
        global_batch,
        precision,
        software,
        layout: question.layout.as_deref().map(parse_layout).transpose()?,
        budget,
        deadline,
        rent: positive("rent", question.rent)?,
        spares: question.spares,
        failures: positive("failures", question.failures)?,
        storage: positive("storage", question.storage)?.map(ByteRate::giga),
        seed: question.seed.unwrap_or(1),
        assumptions,
    })
}

fn positive(what: &str, value: Option<f64>) -> Result<Option<f64>> {
    match value {
        Some(v) if !(v.is_finite() && v > 0.0) => Err(PlanError::Quantity {
            what: what.to_owned(),
            value: v.to_string(),
            remedy: "give a number above 0".to_owned(),
        }),
        other => Ok(other),
    }
}

fn devices(
    question: &Question,
    known: &Knowledge,
    assumptions: &mut Vec<String>,
) -> Result<(Option<usize>, Gpu)> {
    let Some(text) = question.gpus.as_deref() else {
        assumptions.push("devices not given: h100".to_owned());
        return Ok((None, known.accelerators.find("h100")?.clone()));
    };
    let (count, name) = match text.split_once(':') {
        Some((count, name)) => (Some(count), name),
        None if text.trim().starts_with(|c: char| c.is_ascii_digit()) => (Some(text), "h100"),
        None => (None, text),
    };
    let gpu = known.accelerators.find(name)?.clone();
    let count = count.map(|c| parse_count("gpus", c)).transpose()?;
    match count {
        Some(n) if n.fract() != 0.0 || n > 4e6 => Err(PlanError::Quantity {
            what: "gpus".to_owned(),
            value: text.to_owned(),
            remedy: "give a whole number up to 4,000,000, as 16384:h100".to_owned(),
        }),
        other => Ok((other.map(|n| n as usize), gpu)),
    }
}

fn precision(question: &Question, gpu: &Gpu, assumptions: &mut Vec<String>) -> Result<Precision> {
    let asked = match question.precision.as_deref().map(str::to_lowercase).as_deref() {
        None => {
            assumptions.push("bf16".to_owned());
            Precision::Bf16
        }
        Some("bf16") => Precision::Bf16,
        Some("fp16") => Precision::Fp16,
        Some("fp8" | "mxfp8") => Precision::Fp8,
        Some("fp8-rowwise") => Precision::Fp8Rowwise,
        Some("fp4" | "nvfp4" | "mxfp4") => Precision::Fp4,
        Some(other) => {
            return Err(PlanError::Quantity {
                what: "precision".to_owned(),
                value: other.to_owned(),
                remedy: "write bf16, fp16, fp8, fp8-rowwise or fp4".to_owned(),
            });
        }
    };
    if gpu.supports(asked) {
        return Ok(asked);
    }
    let nearest = if gpu.supports(Precision::Fp8) { "fp8" } else { "bf16" };
    Err(PlanError::Contradiction {
        demands: format!("{} and {asked:?}", gpu.name),
        reason: "the device does not multiply in that format".to_owned(),
        nearest: format!("precision {nearest}"),
    })
}

/// A published model, or a dense one of a size such as 70b.
fn named_model(name: &str, known: &Knowledge, assumptions: &mut Vec<String>) -> Result<ModelShape> {
    let found = known.models.find(name);
    match parse_count("model", name) {
        Ok(params) if found.is_err() && (1e6..1e14).contains(&params) => {
            let shape = shape_of_size(params, 128_256);
            assumptions.push(format!("a dense model of {:.1}B parameters", shape.params() / 1e9));
            Ok(shape)
        }
        _ => found.cloned(),
    }
}

/// A compute-optimal dense model for a budget, at rent in the middle of the range and the
/// utilisation usual for dense models in 16 bits (0.4; the plan then computes its own).
fn model_of_budget(
    budget: Option<Dollars>,
    gpu: &Gpu,
    question: &Question,
    known: &Knowledge,
    assumptions: &mut Vec<String>,
) -> Result<ModelShape> {
    const USUAL_MFU: f64 = 0.4;
    let Some(budget) = budget else {
        return Err(PlanError::Quantity {
            what: "model".to_owned(),
            value: "missing".to_owned(),
            remedy: "name one (llama-405b, a size such as 70b, or a config.json), or give a budget"
                .to_owned(),
        });
    };
    let rent = question.rent.unwrap_or((gpu.rent.0 * gpu.rent.1).sqrt());
    let compute = Flops(budget.0 / rent * 3600.0 * gpu.bf16.0 * USUAL_MFU);
    let (params, _) = known.learning.optimum(compute);
    let shape = shape_of_size(params, 128_256);
    assumptions.push(format!(
        "model not given: a dense one of {:.1}B parameters, compute-optimal for the budget",
        shape.params() / 1e9
    ));
    Ok(shape)
}
