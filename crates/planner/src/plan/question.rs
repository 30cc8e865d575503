//! A question as people put it, in a run file or on the command line, and the small languages of its
//! fields: 16384:h100, 15T, 60d, 100M$, tp=8,pp=16. Resolves nothing.

use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result};
use crate::layout::{AskedLayout, Recompute, Sharding};
use crate::units::{Dollars, Seconds};

/// A budget in dollars.
pub type Budget = Dollars;

/// What is asked. Everything may be left out but the devices; what is left out is chosen and listed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    /// Published model, or a size such as 70b.
    pub model: Option<String>,
    /// Devices, as 16384:h100; without the number, as many as deadline or budget ask for.
    pub gpus: Option<String>,
    /// Tokens to train on, as 15T.
    pub tokens: Option<String>,
    /// Tokens of a sequence.
    pub seq: Option<usize>,
    /// Tokens of a step, as 16M.
    pub batch: Option<String>,
    /// bf16, fp16, fp8 or fp4.
    pub precision: Option<String>,
    /// Training program.
    pub software: Option<String>,
    /// Parallel sizes to take instead of searching, as tp=8,pp=16,dp=128.
    pub layout: Option<String>,
    /// Most that may be spent, as 100M$.
    pub budget: Option<String>,
    /// Longest the run may take, as 60d.
    pub deadline: Option<String>,
    /// Times the compute-optimal number of tokens, where they are not given.
    pub over_training: Option<f64>,
    /// Network beyond the machine, as fat-tree or meta-roce.
    pub fabric: Option<String>,
    /// Rent of a device-hour in dollars.
    pub rent: Option<f64>,
    /// Spare machines in addition to those that train.
    pub spares: Option<usize>,
    /// Interruptions for 1,000 machine-days, instead of the published range.
    pub failures: Option<f64>,
    /// Bandwidth of shared storage in GB/s.
    pub storage: Option<f64>,
    /// Seed of everything drawn.
    pub seed: Option<u64>,
}

impl Question {
    /// Reads the `[plan]` table of a run file, or a file of these keys alone.
    ///
    /// # Errors
    /// With the place and the unknown key.
    pub fn from_toml(text: &str, place: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Run {
            plan: Option<Question>,
            model: Option<toml::Value>,
        }
        let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
        let run: Run = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
        match run.plan {
            Some(question) => Ok(question),
            // A run file, whose model is a table, asks nothing by itself.
            None if run.model.is_some_and(|model| model.is_table()) => Ok(Question::default()),
            None => toml::from_str(text).map_err(|error| malformed(error.to_string())),
        }
    }

    /// This question with what `over` says in place of what this says.
    #[must_use]
    pub fn overridden_by(self, over: Question) -> Self {
        Question {
            model: over.model.or(self.model),
            gpus: over.gpus.or(self.gpus),
            tokens: over.tokens.or(self.tokens),
            seq: over.seq.or(self.seq),
            batch: over.batch.or(self.batch),
            precision: over.precision.or(self.precision),
            software: over.software.or(self.software),
            layout: over.layout.or(self.layout),
            budget: over.budget.or(self.budget),
            deadline: over.deadline.or(self.deadline),
            over_training: over.over_training.or(self.over_training),
            fabric: over.fabric.or(self.fabric),
            rent: over.rent.or(self.rent),
            spares: over.spares.or(self.spares),
            failures: over.failures.or(self.failures),
            storage: over.storage.or(self.storage),
            seed: over.seed.or(self.seed),
        }
    }
}

fn quantity(what: &str, value: &str, remedy: &str) -> PlanError {
    PlanError::Quantity {
        what: what.to_owned(),
        value: value.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// A positive number with an optional suffix K, M, B (or G), T.
///
/// # Errors
/// When it is none, or not above 0.
pub fn parse_count(what: &str, text: &str) -> Result<f64> {
    let remedy = "write a number above 0, for example 15T, 300B, 16M or 2048";
    let trimmed = text.trim();
    let (digits, factor) = match trimmed.char_indices().last() {
        Some((at, 'k' | 'K')) => (&trimmed[..at], 1e3),
        Some((at, 'm' | 'M')) => (&trimmed[..at], 1e6),
        Some((at, 'b' | 'B' | 'g' | 'G')) => (&trimmed[..at], 1e9),
        Some((at, 't' | 'T')) => (&trimmed[..at], 1e12),
        _ => (trimmed, 1.0),
    };
    let number: f64 =
        digits.trim().replace(['_', ','], "").parse().map_err(|_| quantity(what, text, remedy))?;
    let value = number * factor;
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err(quantity(what, text, remedy)) }
}

/// Dollars, with the sign on either side.
///
/// # Errors
/// As [`parse_count`].
pub fn parse_dollars(what: &str, text: &str) -> Result<Dollars> {
    let bare = text.trim().trim_start_matches('$').trim_end_matches('$').trim_end_matches("USD");
    parse_count(what, bare)
        .map(Dollars)
        .map_err(|_| quantity(what, text, "write an amount above 0, for example 100M$ or 2.5B$"))
}

/// A time in hours, days or weeks.
///
/// # Errors
/// When it is none, or not above 0.
pub fn parse_days(what: &str, text: &str) -> Result<Seconds> {
    let remedy = "write a time above 0, for example 60d, 12h or 8w";
    let trimmed = text.trim();
    let (digits, days) = match trimmed.char_indices().last() {
        Some((at, 'h')) => (&trimmed[..at], 1.0 / 24.0),
        Some((at, 'd')) => (&trimmed[..at], 1.0),
        Some((at, 'w')) => (&trimmed[..at], 7.0),
        _ => (trimmed, 1.0),
    };
    let number: f64 = digits.trim().parse().map_err(|_| quantity(what, text, remedy))?;
    let time = Seconds::days(number * days);
    if time.0.is_finite() && time.0 > 0.0 { Ok(time) } else { Err(quantity(what, text, remedy)) }
}

/// Devices: `64:h100`, also as people write it (`64xh100`, `64 × h100`, `64 h100`), a number alone or a
/// name alone.
///
/// # Errors
/// When the number stands behind the name or is none: with how to write it.
pub fn parse_devices(text: &str) -> Result<(Option<usize>, Option<String>)> {
    let wrong = |remedy: String| quantity("gpus", text, &remedy);
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, ',' | '_' | '.')));
    let (count, rest) = text.split_at(digits.unwrap_or(text.len()));
    if count.is_empty() {
        let behind = text.rsplit_once([':', '*', '×']).or_else(|| text.rsplit_once(" x "));
        return match behind.map(|(name, n)| (name.trim(), n.trim())) {
            Some((name, n)) if n.parse::<usize>().is_ok() => {
                Err(wrong(format!("write N:TYPE, as {n}:{name}")))
            }
            Some(_) => Err(wrong("write N:TYPE, as 64:h100".to_owned())),
            None if text.is_empty() => Err(wrong("write N:TYPE, as 64:h100".to_owned())),
            None => Ok((None, Some(text.to_owned()))),
        };
    }
    // A suffix belongs to the number where a colon or nothing comes after it: 16k:h100.
    let suffixed = rest.strip_prefix(['k', 'K', 'm', 'M']).is_some_and(|after| {
        let after = after.trim_start();
        after.is_empty() || after.starts_with(':')
    });
    let (count, rest) = if suffixed { text.split_at(count.len() + 1) } else { (count, rest) };
    let name = rest.trim_start();
    let name = name.strip_prefix([':', '*', '×']).or_else(|| by_times(name)).unwrap_or(name).trim();
    let number = parse_count("gpus", count)
        .map_err(|_| wrong("write a number above 0 and a type as N:TYPE, as 64:h100".to_owned()))?;
    if number.fract() != 0.0 || number > 4e6 {
        return Err(wrong("give a whole number up to 4,000,000, as 16384:h100".to_owned()));
    }
    Ok((Some(number as usize), (!name.is_empty()).then(|| name.to_owned())))
}

/// What stands after an `x` that means times: `xh100`, `x 4090`.
fn by_times(text: &str) -> Option<&str> {
    text.strip_prefix(['x', 'X'])
}

/// Parallel sizes: `tp=8,pp=16,dp=128`, and `vpp`, `cp`, `ep`, `micro`, `sharding`, `recompute`; what is
/// left out stays open.
///
/// # Errors
/// Naming the part that is not understood.
pub fn parse_layout(text: &str) -> Result<AskedLayout> {
    let mut layout = AskedLayout::default();
    for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
        let bad = |remedy: &str| quantity("layout", part, remedy);
        let (name, value) =
            part.split_once('=').ok_or_else(|| bad("write sizes as tp=8,pp=16,dp=128"))?;
        match name {
            "sharding" => {
                layout.sharding = Some(match value {
                    "none" => Sharding::None,
                    "optimizer" => Sharding::Optimizer,
                    "gradients" => Sharding::Gradients,
                    "full" => Sharding::Full,
                    _ => return Err(bad("sharding is none, optimizer, gradients or full")),
                });
                continue;
            }
            "recompute" => {
                layout.recompute = Some(match value {
                    "none" => Recompute::None,
                    "selective" => Recompute::Selective,
                    "full" => Recompute::Full,
                    _ => return Err(bad("recompute is none, selective or full")),
                });
                continue;
            }
            _ => {}
        }
        let size = value.parse().map_err(|_| bad("sizes are whole numbers"))?;
        let place = match name {
            "tp" => &mut layout.tp,
            "pp" => &mut layout.pp,
            "vpp" => &mut layout.vpp,
            "dp" => &mut layout.dp,
            "cp" => &mut layout.cp,
            "ep" => &mut layout.ep,
            "micro" | "micro_batch" => &mut layout.micro_batch,
            _ => {
                let known = "sizes are tp, pp, vpp, dp, cp, ep, micro; also sharding, recompute";
                return Err(bad(known));
            }
        };
        *place = Some(size);
    }
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_nonsense_explained() {
        assert_eq!(parse_count("tokens", "15T"), Ok(15e12));
        assert_eq!(parse_dollars("budget", "100M$"), Ok(Dollars(1e8)));
        assert_eq!(parse_dollars("budget", "$2.5B"), Ok(Dollars(2.5e9)));
        assert_eq!(parse_days("deadline", "60d"), Ok(Seconds::days(60.0)));
        let layout = parse_layout("tp=8,pp=16,vpp=2,dp=128,recompute=full").unwrap();
        assert_eq!((layout.tp, layout.recompute), (Some(8), Some(Recompute::Full)));
        assert_eq!((layout.filled().gpus(), layout.cp, layout.sharding), (16_384, None, None));
        for (result, word) in [
            (parse_count("tokens", "0").map(|_| ()), "above 0"),
            (parse_count("tokens", "many").map(|_| ()), "15T"),
            (parse_days("deadline", "-3d").map(|_| ()), "60d"),
            (parse_layout("tp:8").map(|_| ()), "tp=8"),
            (parse_layout("xp=8").map(|_| ()), "vpp"),
        ] {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn devices_are_read_as_people_write_them() {
        let h100 = |n| Ok((Some(n), Some("h100".to_owned())));
        for text in
            ["64:h100", "64xh100", "64 h100", "64 x h100", "64×h100", "64*h100", " 64 : h100"]
        {
            assert_eq!(parse_devices(text), h100(64), "{text}");
        }
        assert_eq!(parse_devices("16k:h100"), h100(16_000));
        assert_eq!(parse_devices("16,384:h100"), h100(16_384));
        assert_eq!(parse_devices("2 x rtx-4090").unwrap().1.as_deref(), Some("rtx-4090"));
        assert_eq!(parse_devices("1024"), Ok((Some(1024), None)));
        assert_eq!(parse_devices("rtx-4090"), Ok((None, Some("rtx-4090".to_owned()))));
        for (text, word) in [
            ("h100:64", "N:TYPE, as 64:h100"),
            ("mi300x x 8", "N:TYPE, as 8:mi300x"),
            ("", "N:TYPE"),
            ("0:h100", "above 0"),
            ("1.5:h100", "whole number"),
            ("9999999:h100", "4,000,000"),
        ] {
            let message = parse_devices(text).unwrap_err().to_string();
            assert!(message.contains(word), "{text}: {message}");
        }
    }

    #[test]
    fn files_name_their_unknown_keys() {
        let question = Question::from_toml("[plan]\ngpus = \"8:h100\"\n", "run.toml").unwrap();
        assert_eq!(question.gpus.as_deref(), Some("8:h100"));
        let error = Question::from_toml("[plan]\ngpu = 8\n", "run.toml").unwrap_err().to_string();
        assert!(error.contains("run.toml") && error.contains("gpu"), "{error}");
    }
}
