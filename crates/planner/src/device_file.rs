//! A device by its figures, from a file of its own in TOML or JSON with the names of `data/gpus.toml`.
//! What is left out is derived from what is given, and listed; nothing is looked up.

use serde::Deserialize;

use crate::error::{PlanError, Result};
use crate::fabric::{self, Fabric};
use crate::hardware::{Generation, Gpu, Precision};
use crate::plan::Assumption;
use crate::units::{ByteRate, Bytes, FlopRate, Watts};

/// Share of the data sheet that the fastest product attains where it was not measured: between the 0.72
/// of power-limited boards and the 0.9 of others in `data/gpus.toml`.
const ATTAINED: f64 = 0.8;

/// Prices for each TFLOP/s in dollars and dollars an hour: the range of the data file's devices of
/// 2021 to 2025, bought and rented.
const PRICE_OF_TERA: (f64, f64) = (10.0, 40.0);
const RENT_OF_TERA: (f64, f64) = (0.0015, 0.005);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    name: String,
    generation: Option<Generation>,
    sixteen_bit: Option<Vec<Precision>>,
    bf16_tflops: f64,
    fp8_tflops: Option<f64>,
    fp4_tflops: Option<f64>,
    gemm_bf16_tflops: Option<f64>,
    memory_gib: f64,
    hbm_gb_s: f64,
    nvlink_gb_s: Option<f64>,
    domain: Option<usize>,
    node: Option<usize>,
    nic_gbit_s: Option<f64>,
    multiprocessors: Option<usize>,
    watts: f64,
    price_low: Option<f64>,
    price_high: Option<f64>,
    rent_low: Option<f64>,
    rent_high: Option<f64>,
}

impl Figures {
    /// Devices of a machine: eight, or as many as the fast link joins where eight do not divide them.
    fn node(&self) -> usize {
        let usual = self.domain.filter(|domain| !domain.is_multiple_of(8)).unwrap_or(8);
        self.node.unwrap_or(usual)
    }
}

/// A device with what was filled in.
#[derive(Clone, Debug)]
pub struct GivenDevice {
    /// The device.
    pub gpu: Gpu,
    /// What its file left out.
    pub assumptions: Vec<Assumption>,
}

/// Reads a device: JSON where the text begins with a brace, else TOML.
///
/// # Errors
/// When it is neither, a key is unknown or missing, or a figure is impossible: with the key.
pub fn read(text: &str, place: &str) -> Result<GivenDevice> {
    let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
    let text = text.trim_start_matches('\u{feff}');
    let figures: Figures = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?
    } else {
        toml::from_str(text).map_err(|error| malformed(error.to_string()))?
    };
    check(&figures).map_err(malformed)?;
    let mut assumptions = Vec::new();
    let usual = fabric::published().into_iter().next().unwrap_or_else(Fabric::flat);
    let gpu = complete(&figures, usual, &mut assumptions);
    Ok(GivenDevice { gpu, assumptions })
}

/// Every figure between a thousandth and a thousand times what devices have.
fn check(figures: &Figures) -> std::result::Result<(), String> {
    let rates = [
        ("bf16_tflops", Some(figures.bf16_tflops), 1e6),
        ("fp8_tflops", figures.fp8_tflops, 1e6),
        ("fp4_tflops", figures.fp4_tflops, 1e6),
        ("gemm_bf16_tflops", figures.gemm_bf16_tflops, 1e6),
        ("memory_gib", Some(figures.memory_gib), 1e5),
        ("hbm_gb_s", Some(figures.hbm_gb_s), 1e6),
        ("nvlink_gb_s", figures.nvlink_gb_s, 1e5),
        ("nic_gbit_s", figures.nic_gbit_s, 1e5),
        ("domain", figures.domain.map(|n| n as f64), 1e6),
        ("node", figures.node.map(|n| n as f64), 1e4),
        ("multiprocessors", figures.multiprocessors.map(|n| n as f64), 1e5),
        ("watts", Some(figures.watts), 1e5),
        ("price_low", figures.price_low, 1e8),
        ("price_high", figures.price_high, 1e8),
        ("rent_low", figures.rent_low, 1e5),
        ("rent_high", figures.rent_high, 1e5),
    ];
    for (key, value, most) in rates {
        if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0 && *v <= most)) {
            return Err(format!("`{key}` is {value}: give a number above 0 and up to {most}"));
        }
    }
    if figures.name.trim().is_empty() || figures.name.contains(':') {
        return Err("`name` must be a name without a colon, for --gpus 8:NAME".to_owned());
    }
    let sixteen = figures.sixteen_bit.as_deref();
    if sixteen.is_some_and(|all| all.is_empty() || all.iter().any(|p| p.is_narrow())) {
        return Err("`sixteen_bit` names bf16, fp16 or both".to_owned());
    }
    if figures.gemm_bf16_tflops.is_some_and(|measured| measured > figures.bf16_tflops) {
        return Err("`gemm_bf16_tflops` is measured: it cannot pass `bf16_tflops`".to_owned());
    }
    for (key, narrow) in [("fp8_tflops", figures.fp8_tflops), ("fp4_tflops", figures.fp4_tflops)] {
        if narrow.is_some_and(|rate| rate < figures.bf16_tflops) {
            return Err(format!("`{key}` is below `bf16_tflops`; leave it out if there is none"));
        }
    }
    let (node, domain) = (figures.node(), figures.domain);
    if domain.is_some_and(|domain| !domain.is_multiple_of(node)) {
        return Err(format!("`domain` must be a multiple of the {node} devices of a `node`"));
    }
    let ranges = [
        ("price", figures.price_low, figures.price_high),
        ("rent", figures.rent_low, figures.rent_high),
    ];
    for (what, low, high) in ranges {
        match (low, high) {
            (Some(low), Some(high)) if low > high => {
                return Err(format!("`{what}_low` is above `{what}_high`"));
            }
            (Some(_), None) | (None, Some(_)) => {
                return Err(format!("give both `{what}_low` and `{what}_high`, or neither"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn complete(figures: &Figures, fabric: Fabric, assumptions: &mut Vec<Assumption>) -> Gpu {
    let mut assume = |key: &str, value: String| {
        assumptions.push(Assumption::new(
            format!("{}: `{key}` not given: {value}", figures.name),
            format!("{} : `{key}` non donné : {value}", figures.name),
        ));
    };
    let mut number = |key: &str, given: Option<f64>, usual: f64| {
        given.unwrap_or_else(|| {
            assume(key, format!("{usual}"));
            usual
        })
    };
    let tera = figures.bf16_tflops;
    let gemm = number("gemm_bf16_tflops", figures.gemm_bf16_tflops, ATTAINED * tera);
    let node = number("node", figures.node.map(|n| n as f64), figures.node() as f64);
    let domain = number("domain", figures.domain.map(|n| n as f64), node);
    // Half of a bus of the fourth generation, and a usual network card.
    let link = number("nvlink_gb_s", figures.nvlink_gb_s, 25.0);
    let nic = number("nic_gbit_s", figures.nic_gbit_s, 25.0);
    let units = number("multiprocessors", figures.multiprocessors.map(|n| n as f64), 100.0);
    let price = (
        number("price_low", figures.price_low, PRICE_OF_TERA.0 * tera),
        number("price_high", figures.price_high, PRICE_OF_TERA.1 * tera),
    );
    let rent = (
        number("rent_low", figures.rent_low, RENT_OF_TERA.0 * tera),
        number("rent_high", figures.rent_high, RENT_OF_TERA.1 * tera),
    );
    let sixteen_bit = figures.sixteen_bit.clone().unwrap_or_else(|| {
        assume("sixteen_bit", "bf16 and fp16".to_owned());
        vec![Precision::Bf16, Precision::Fp16]
    });
    let generation = figures.generation.unwrap_or_else(|| {
        assume("generation", "kernels as of ampere".to_owned());
        Generation::Ampere
    });
    Gpu {
        name: figures.name.trim().to_lowercase(),
        generation,
        sixteen_bit,
        bf16: FlopRate::tera(tera),
        fp8: figures.fp8_tflops.map(FlopRate::tera),
        fp4: figures.fp4_tflops.map(FlopRate::tera),
        gemm_bf16: FlopRate::tera(gemm),
        memory: Bytes::gib(figures.memory_gib),
        hbm: ByteRate::giga(figures.hbm_gb_s),
        nvlink: ByteRate::giga(link),
        domain: domain as usize,
        node: node as usize,
        nic: ByteRate::gigabits(nic),
        fabric,
        multiprocessors: units as usize,
        power: Watts(figures.watts),
        price,
        rent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "name = \"card\"\nbf16_tflops = 120\nmemory_gib = 24\nhbm_gb_s = 900\nwatts = 300\n";

    #[test]
    fn what_is_left_out_is_filled_in_and_listed() {
        let read_toml = read(LEAST, "card.toml").unwrap();
        assert_eq!((read_toml.gpu.node, read_toml.gpu.domain), (8, 8));
        assert_eq!(read_toml.gpu.gemm_bf16, FlopRate::tera(96.0));
        let listed: Vec<String> = read_toml.assumptions.iter().map(ToString::to_string).collect();
        assert_eq!(listed.len(), 12, "{listed:?}");
        assert!(listed.iter().any(|line| line == "card: `nic_gbit_s` not given: 25"), "{listed:?}");
        let json = r#"{"name":"card","bf16_tflops":120,"memory_gib":24,"hbm_gb_s":900,"watts":300,
            "node":4,"domain":4,"sixteen_bit":["fp16"],"fp8_tflops":240}"#;
        let read_json = read(json, "card.json").unwrap();
        assert_eq!(read_json.gpu.default_precision(), Precision::Fp16);
        assert!(read_json.gpu.supports(Precision::Fp8) && read_json.gpu.node == 4);
        assert_eq!(read_json.assumptions.len(), 9);
        let six = read(&format!("{LEAST}domain = 6\n"), "card.toml").unwrap().gpu;
        assert_eq!((six.node, six.domain), (6, 6));
    }

    #[test]
    fn impossible_figures_are_named() {
        for (line, word) in [
            ("watts = 0", "duplicate key"),
            ("tflops = 3", "tflops"),
            ("gemm_bf16_tflops = 130", "gemm_bf16_tflops"),
            ("fp8_tflops = 60", "fp8_tflops"),
            ("nic_gbit_s = -1", "nic_gbit_s"),
            ("node = 4\ndomain = 6", "domain"),
            ("rent_low = 1.0", "rent_high"),
            ("rent_low = 2.0\nrent_high = 1.0", "rent_low"),
            ("sixteen_bit = [\"fp8\"]", "sixteen_bit"),
            ("generation = \"new\"", "generation"),
        ] {
            let error = read(&format!("{LEAST}{line}\n"), "card.toml").unwrap_err().to_string();
            assert!(error.starts_with("card.toml") && error.contains(word), "{line}: {error}");
        }
        assert!(read("name = \"x\"\n", "x").unwrap_err().to_string().contains("bf16_tflops"));
        assert!(read("{", "x.json").is_err());
    }
}
