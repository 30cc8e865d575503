//! From a question to something that can be computed: names looked up, gaps filled and listed.

use crate::calibration::Calibration;
use crate::device_file::GivenDevice;
use crate::error::{PlanError, Result};
use crate::fabric::{self, Fabric};
use crate::failures::Failures;
use crate::hardware::{Accelerators, Gpu, Precision};
use crate::layout::AskedLayout;
use crate::learning::{Learning, shape_of_size};
use crate::model::{ModelShape, Models};
use crate::money::Prices;
use crate::software::{self, Software};
use crate::units::{ByteRate, Dollars, Seconds, count};

use super::assumption::Assumption;
use super::question::{
    Question, parse_count, parse_days, parse_devices, parse_dollars, parse_layout,
};

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
    /// Networks beyond the machine.
    pub fabrics: Vec<Fabric>,
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
            fabrics: fabric::published(),
            learning: Learning::published(),
            calibration: Calibration::published(),
        }
    }
}

/// A question ready to be answered.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Model; a placeholder while its size is open.
    pub model: ModelShape,
    /// The size of the model is to be found from the means.
    pub model_open: bool,
    /// Tokens for each active parameter where neither is given.
    pub tokens_per_param: f64,
    /// Whether that is the compute-optimal number.
    pub compute_optimal: bool,
    /// The number of devices is a guess.
    pub devices_assumed: bool,
    /// Device.
    pub gpu: Gpu,
    /// Devices that train; `None` to find the number.
    pub gpus: Option<usize>,
    /// Tokens to train on; `None` for what budget and deadline afford, or the compute-optimal number.
    pub tokens: Option<f64>,
    /// Tokens of a sequence.
    pub seq: usize,
    /// Sequences of a step, and whether they were asked for.
    pub global_batch: Option<usize>,
    /// The batch was asked for in whole sequences, so it may not be rounded to what a layout divides.
    pub batch_exact: bool,
    /// Number format.
    pub precision: Precision,
    /// Training program.
    pub software: Software,
    /// Layout to keep to, as far as it was asked for.
    pub layout: Option<AskedLayout>,
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
    pub assumptions: Vec<Assumption>,
}

/// What the caller read from files that a question names.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// A model, in place of a published one.
    pub model: Option<ModelShape>,
    /// What its file left to be assumed, or held that was not read.
    pub model_assumptions: Vec<Assumption>,
    /// A device by its figures.
    pub device: Option<GivenDevice>,
}

/// Resolves a question; `given` is what the caller read from the files it names.
///
/// # Errors
/// When a name is unknown, a quantity makes no sense, or too little is given.
pub fn resolve(question: &Question, given: &Given, known: &Knowledge) -> Result<Resolved> {
    let mut assumptions = Vec::new();
    let budget = question.budget.as_deref().map(|b| parse_dollars("budget", b)).transpose()?;
    let deadline = question.deadline.as_deref().map(|d| parse_days("deadline", d)).transpose()?;
    let (gpus, gpu) = devices(question, given.device.as_ref(), known, &mut assumptions)?;
    let precision = precision(question, &gpu, &mut assumptions)?;
    let tokens = question.tokens.as_deref().map(|t| parse_count("tokens", t)).transpose()?;
    let model_open = given.model.is_none() && question.model.is_none();
    let model = match (&given.model, question.model.as_deref()) {
        (Some(shape), _) => {
            assumptions.extend(given.model_assumptions.iter().cloned());
            shape.clone()
        }
        (None, Some(name)) => named_model(name, known, &mut assumptions)?,
        (None, None) => open_model(question, budget, deadline)?,
    };
    model.check()?;
    let times = positive("over_training", question.over_training)?;
    let tokens_per_param = known.learning.optimal_tokens(1.0) * times.unwrap_or(1.0);
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
            assumptions
                .push(Assumption::new("sequences of 8,192 tokens", "séquences de 8 192 jetons"));
            8192
        }
    };
    let mut batch_exact = false;
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
            // 16M tokens are 1953.1 sequences of 8,192: meant as about that many.
            batch_exact = sequences * seq as f64 == batch;
            Some(sequences as usize)
        }
    };
    let software = program(question, known, &mut assumptions)?;
    Ok(Resolved {
        gpus,
        gpu,
        model,
        model_open,
        tokens_per_param,
        compute_optimal: times.is_none_or(|times| times == 1.0),
        devices_assumed: false,
        tokens,
        seq,
        global_batch,
        batch_exact,
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
    given: Option<&GivenDevice>,
    known: &Knowledge,
    assumptions: &mut Vec<Assumption>,
) -> Result<(Option<usize>, Gpu)> {
    let (count, name) = match question.gpus.as_deref() {
        Some(text) => parse_devices(text)?,
        None => (None, None),
    };
    let asked_file = |name: &str| given.filter(|g| g.gpu.name == name.trim().to_lowercase());
    let gpu = match (name, given) {
        (Some(name), _) if asked_file(&name).is_some() => given.map(|g| g.gpu.clone()),
        (Some(name), Some(given)) => {
            return Err(PlanError::Contradiction {
                demands: format!("{name} and a file of the device {}", given.gpu.name),
                reason: "they are two devices".to_owned(),
                nearest: format!("--gpus N:{}, or no --device-file", given.gpu.name),
            });
        }
        (Some(name), None) => Some(known.accelerators.find(&name)?.clone()),
        (None, given) => given.map(|given| given.gpu.clone()),
    };
    if let Some(given) = given {
        assumptions.extend(given.assumptions.iter().cloned());
    }
    let gpu = match (gpu, count) {
        (Some(gpu), _) => gpu,
        (None, Some(n)) if known.accelerators.find(&n.to_string()).is_ok() => {
            let device = &known.accelerators.find(&n.to_string())?.name;
            return Err(PlanError::Quantity {
                what: "gpus".to_owned(),
                value: n.to_string(),
                remedy: format!("a number and a device; write N:TYPE, as 1:{device} or {n}:h100"),
            });
        }
        (None, _) => {
            assumptions.push(Assumption::new(
                "devices not given: h100",
                "accélérateurs non donnés : h100",
            ));
            known.accelerators.find("h100")?.clone()
        }
    };
    Ok((count, on_fabric(gpu, question, known)?))
}

/// The training program asked for, or present practice.
fn program(
    question: &Question,
    known: &Knowledge,
    assumptions: &mut Vec<Assumption>,
) -> Result<Software> {
    let Some(name) = question.software.as_deref() else {
        assumptions.push(Assumption::new(
            "training program not given: present practice",
            "programme d'entraînement non donné : l'usage actuel",
        ));
        return Ok(software::find(&known.programs, ""));
    };
    let found = software::named(&known.programs, name)?;
    if found.name != name.trim().to_lowercase() {
        assumptions.push(Assumption::new(
            format!("`{name}` works as {}", found.name),
            format!("`{name}` travaille comme {}", found.name),
        ));
    }
    Ok(found)
}

/// The device on the network that is asked for.
fn on_fabric(gpu: Gpu, question: &Question, known: &Knowledge) -> Result<Gpu> {
    match question.fabric.as_deref() {
        Some(name) => Ok(Gpu { fabric: fabric::find(&known.fabrics, name)?.clone(), ..gpu }),
        None => Ok(gpu),
    }
}

fn precision(
    question: &Question,
    gpu: &Gpu,
    assumptions: &mut Vec<Assumption>,
) -> Result<Precision> {
    let asked = match question.precision.as_deref().map(str::to_lowercase).as_deref() {
        None => {
            let usual = gpu.default_precision();
            let name = usual.name();
            assumptions.push(if usual == Precision::Bf16 {
                Assumption::new(name, name)
            } else {
                Assumption::new(
                    format!("{name}: {} does not multiply in bf16", gpu.name),
                    format!("{name} : {} ne multiplie pas en bf16", gpu.name),
                )
            });
            usual
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
    Err(PlanError::Contradiction {
        demands: format!("{} and {}", gpu.name, asked.name()),
        reason: "the device does not multiply in that format".to_owned(),
        nearest: format!("precision {}", gpu.nearest_precision(asked).name()),
    })
}

/// A published model, or a dense one of a size such as 70b.
fn named_model(
    name: &str,
    known: &Knowledge,
    assumptions: &mut Vec<Assumption>,
) -> Result<ModelShape> {
    let found = known.models.find(name);
    match parse_count("model", name) {
        Ok(params) if found.is_err() && (1e6..1e14).contains(&params) => {
            let shape = shape_of_size(params, 128_256);
            let size = count(shape.params());
            assumptions.push(Assumption::new(
                format!("a dense model of {size} parameters"),
                format!("un modèle dense de {size} paramètres"),
            ));
            Ok(shape)
        }
        _ => found.cloned(),
    }
}

/// A placeholder for a model whose size is found from the means.
fn open_model(
    question: &Question,
    budget: Option<Dollars>,
    deadline: Option<Seconds>,
) -> Result<ModelShape> {
    if budget.is_some() || deadline.is_some() || question.gpus.is_some() {
        return Ok(shape_of_size(1e9, 128_256));
    }
    Err(PlanError::Quantity {
        what: "model".to_owned(),
        value: "missing".to_owned(),
        remedy: "name one (llama-405b, a size such as 70b, or a config.json), or give a budget, a \
                 deadline or devices, for which one is found"
            .to_owned(),
    })
}
