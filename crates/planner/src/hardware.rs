//! Accelerators and the machines they sit in, read from the dated data file `data/gpus.toml`.
//! Specifications only: what share of them a run attains is fitted in [`crate::calibration`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result, nearest};
use crate::fabric::{self, Fabric};
use crate::units::{ByteRate, Bytes, FlopRate, Watts};

/// The data file, as text: every number in it names its source.
pub const GPU_DATA: &str = include_str!("../data/gpus.toml");

/// Family of a device: what its kernels have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// NVIDIA V100.
    Volta,
    /// NVIDIA T4.
    Turing,
    /// NVIDIA A100.
    Ampere,
    /// NVIDIA GeForce 30, RTX A6000, A10.
    AmpereRtx,
    /// NVIDIA GeForce 40, RTX 6000 Ada, L4, L40S.
    Ada,
    /// NVIDIA H100, H200, H800, H20.
    Hopper,
    /// NVIDIA B200, B300 and their Grace boards.
    Blackwell,
    /// NVIDIA GeForce 50.
    BlackwellRtx,
    /// AMD MI300.
    Cdna3,
    /// AMD MI350.
    Cdna4,
    /// Google's tensor processors.
    Tpu,
}

/// Number formats of matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 16-bit products, 32-bit sums.
    Bf16,
    /// 16-bit products with loss scaling; costs as bf16.
    Fp16,
    /// 8-bit linear layers; attention and head stay 16-bit.
    Fp8,
    /// 8-bit linear layers with a scale for each row, whose products run no faster than 16-bit ones
    /// (torchtitan's table of asynchronous tensor parallelism, 2025).
    #[serde(rename = "fp8-rowwise")]
    Fp8Rowwise,
    /// 4-bit linear layers (NVFP4, MXFP4); attention and head stay 16-bit.
    Fp4,
}

impl Precision {
    /// Every format, from the widest products to the narrowest, the usual one of a width first.
    pub const ALL: [Precision; 5] =
        [Precision::Bf16, Precision::Fp16, Precision::Fp8Rowwise, Precision::Fp8, Precision::Fp4];

    /// As options and tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Bf16 => "bf16",
            Precision::Fp16 => "fp16",
            Precision::Fp8 => "fp8",
            Precision::Fp8Rowwise => "fp8-rowwise",
            Precision::Fp4 => "fp4",
        }
    }

    /// Whether products run on formats narrower than 16 bits, so that utilisation, which is always
    /// counted against the bf16 peak, may pass what 16-bit products could reach.
    pub fn is_narrow(self) -> bool {
        !matches!(self, Precision::Bf16 | Precision::Fp16)
    }
}

/// An accelerator with its share of the machine around it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gpu {
    /// Name in the data file.
    pub name: String,
    /// Family.
    pub generation: Generation,
    /// Formats of 16 bits that it multiplies in, the usual one first.
    pub sixteen_bit: Vec<Precision>,
    /// Data-sheet rate of 16-bit products.
    pub bf16: FlopRate,
    /// Data-sheet rate of 8-bit products.
    pub fp8: Option<FlopRate>,
    /// Data-sheet rate of 4-bit products.
    pub fp4: Option<FlopRate>,
    /// Fastest 16-bit matrix product measured.
    pub gemm_bf16: FlopRate,
    /// Device memory.
    pub memory: Bytes,
    /// Device memory bandwidth.
    pub hbm: ByteRate,
    /// Link to the devices of the same domain, one way.
    pub nvlink: ByteRate,
    /// Devices that the fast link joins.
    pub domain: usize,
    /// Devices of a machine (the unit that fails and is replaced).
    pub node: usize,
    /// Network of one device, one way.
    pub nic: ByteRate,
    /// The network beyond the machine.
    pub fabric: Fabric,
    /// Multiprocessors, over which the tiles of a product are dealt.
    pub multiprocessors: usize,
    /// Board power.
    pub power: Watts,
    /// Unit price, low and high.
    pub price: (f64, f64),
    /// Rent by the device-hour, low and high.
    pub rent: (f64, f64),
}

impl Gpu {
    /// Data-sheet rate in a number format, the next wider where the device lacks it.
    pub fn peak(&self, precision: Precision) -> FlopRate {
        match precision {
            Precision::Bf16 | Precision::Fp16 | Precision::Fp8Rowwise => self.bf16,
            Precision::Fp8 => self.fp8.unwrap_or(self.bf16),
            Precision::Fp4 => self.fp4.or(self.fp8).unwrap_or(self.bf16),
        }
    }

    /// Whether the device multiplies in this format.
    pub fn supports(&self, precision: Precision) -> bool {
        match precision {
            Precision::Bf16 | Precision::Fp16 => self.sixteen_bit.contains(&precision),
            Precision::Fp8 | Precision::Fp8Rowwise => self.fp8.is_some(),
            Precision::Fp4 => self.fp4.is_some(),
        }
    }

    /// The format a run takes where none is asked for.
    pub fn default_precision(&self) -> Precision {
        self.sixteen_bit.first().copied().unwrap_or(Precision::Bf16)
    }

    /// The format nearest to one the device lacks: the next wider it has, else the usual one.
    pub fn nearest_precision(&self, asked: Precision) -> Precision {
        if asked == Precision::Fp4 && self.supports(Precision::Fp8) {
            Precision::Fp8
        } else {
            self.default_precision()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sourced {
    v: f64,
    s: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GpuEntry {
    #[serde(default)]
    aliases: Vec<String>,
    generation: Generation,
    sixteen_bit: Vec<Precision>,
    bf16_tflops: Sourced,
    fp8_tflops: Option<Sourced>,
    fp4_tflops: Option<Sourced>,
    gemm_bf16_tflops: Sourced,
    memory_gib: Sourced,
    hbm_gb_s: Sourced,
    nvlink_gb_s: Sourced,
    domain: Sourced,
    node: Sourced,
    nic_gbit_s: Sourced,
    multiprocessors: Sourced,
    watts: Sourced,
    price_low: Sourced,
    price_high: Sourced,
    rent_low: Sourced,
    rent_high: Sourced,
}

impl GpuEntry {
    fn numbers(&self) -> Vec<&Sourced> {
        let optional = [&self.fp8_tflops, &self.fp4_tflops].into_iter().flatten();
        [
            &self.bf16_tflops,
            &self.gemm_bf16_tflops,
            &self.memory_gib,
            &self.hbm_gb_s,
            &self.nvlink_gb_s,
            &self.domain,
            &self.node,
            &self.nic_gbit_s,
            &self.multiprocessors,
            &self.watts,
            &self.price_low,
            &self.price_high,
            &self.rent_low,
            &self.rent_high,
        ]
        .into_iter()
        .chain(optional)
        .collect()
    }

    fn to_gpu(&self, name: &str, fabric: &Fabric) -> Gpu {
        let tera = |s: &Sourced| FlopRate::tera(s.v);
        Gpu {
            name: name.to_owned(),
            generation: self.generation,
            sixteen_bit: self.sixteen_bit.clone(),
            bf16: tera(&self.bf16_tflops),
            fp8: self.fp8_tflops.as_ref().map(tera),
            fp4: self.fp4_tflops.as_ref().map(tera),
            gemm_bf16: tera(&self.gemm_bf16_tflops),
            memory: Bytes::gib(self.memory_gib.v),
            hbm: ByteRate::giga(self.hbm_gb_s.v),
            nvlink: ByteRate::giga(self.nvlink_gb_s.v),
            domain: self.domain.v as usize,
            node: self.node.v as usize,
            nic: ByteRate::gigabits(self.nic_gbit_s.v),
            fabric: fabric.clone(),
            multiprocessors: self.multiprocessors.v as usize,
            power: Watts(self.watts.v),
            price: (self.price_low.v, self.price_high.v),
            rent: (self.rent_low.v, self.rent_high.v),
        }
    }
}

/// Where a number was read, and when it was true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Document.
    pub title: String,
    /// Year and month.
    pub date: String,
    /// How its numbers were verified: read, secondary, recalled or derived.
    pub checked: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gpu: BTreeMap<String, GpuEntry>,
    sources: BTreeMap<String, Source>,
}

/// The known accelerators.
#[derive(Clone, Debug)]
pub struct Accelerators {
    gpus: Vec<(Vec<String>, Gpu)>,
    /// Sources by key.
    pub sources: BTreeMap<String, Source>,
}

impl Accelerators {
    /// The accelerators of the data file shipped with this crate.
    pub fn published() -> Self {
        Self::read(GPU_DATA, "data/gpus.toml").expect("the shipped data file is tested")
    }

    /// Reads a data file of this format.
    ///
    /// # Errors
    /// When the text is not such a file, or a number names no known source.
    pub fn read(text: &str, place: &str) -> Result<Self> {
        let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
        let file: File = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
        let mut gpus = Vec::new();
        let fabrics = fabric::published();
        let usual = fabrics.first().cloned().unwrap_or_else(Fabric::flat);
        for (name, entry) in &file.gpu {
            for number in entry.numbers() {
                if !file.sources.contains_key(&number.s) {
                    return Err(malformed(format!(
                        "{name} cites `{}`, which [sources] does not have; add it with title and date",
                        number.s
                    )));
                }
                if !(number.v.is_finite() && number.v > 0.0) {
                    return Err(malformed(format!("{name} has the value {}", number.v)));
                }
            }
            if entry.sixteen_bit.is_empty() || entry.sixteen_bit.iter().any(|p| p.is_narrow()) {
                return Err(malformed(format!("{name}: sixteen_bit names bf16, fp16 or both")));
            }
            let names = std::iter::once(name).chain(&entry.aliases).cloned().collect();
            gpus.push((names, entry.to_gpu(name, &usual)));
        }
        Ok(Accelerators { gpus, sources: file.sources })
    }

    /// Finds one by name or alias, case ignored.
    ///
    /// # Errors
    /// With the nearest known names.
    pub fn find(&self, name: &str) -> Result<&Gpu> {
        let asked = name.trim().to_lowercase();
        let words = distinguishing(&asked);
        let same = |known: &String| *known == asked || distinguishing(known) == words;
        let found = self
            .gpus
            .iter()
            .find(|(names, _)| names.contains(&asked))
            .or_else(|| self.gpus.iter().find(|(names, _)| names.iter().any(same)));
        found.map(|(_, gpu)| gpu).ok_or_else(|| {
            let names = self.gpus.iter().map(|(names, _)| names.iter().map(String::as_str));
            let known: Vec<&str> = self.gpus.iter().map(|(_, gpu)| gpu.name.as_str()).collect();
            PlanError::UnknownGpu {
                name: name.to_owned(),
                nearest: nearest(&asked, names),
                known: known.join(", "),
            }
        })
    }

    /// All devices, by name.
    pub fn all(&self) -> impl Iterator<Item = &Gpu> {
        self.gpus.iter().map(|(_, gpu)| gpu)
    }
}

/// The words of a device's name that tell it from others: maker, socket and kind of memory do not.
fn distinguishing(name: &str) -> Vec<String> {
    const IDLE: &[&str] = &[
        "nvidia", "geforce", "tesla", "amd", "google", "instinct", "cloud", "gpu", "tensor",
        "core", "hgx", "dgx", "sxm", "sxm2", "sxm3", "sxm4", "sxm5", "sxm6", "hbm2", "hbm2e",
        "hbm3", "hbm3e", "oam",
    ];
    let spaced = name.replace("tpuv", "tpu v").replace(" gb", "gb");
    let words = spaced.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut words: Vec<String> =
        words.filter(|word| !IDLE.contains(word)).map(str::to_owned).collect();
    words.sort_unstable();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_is_sourced_dated_and_consistent() {
        let known = Accelerators::published();
        assert!(known.all().count() >= 12);
        for source in known.sources.values() {
            assert!(!source.title.is_empty());
            assert!(source.date.len() == 7 && source.date.as_bytes()[4] == b'-', "{source:?}");
            let marks = ["read", "secondary", "recalled", "derived"];
            assert!(marks.contains(&source.checked.as_str()), "{source:?}");
        }
        for gpu in known.all() {
            assert!(gpu.gemm_bf16 <= gpu.bf16, "{}: measured above the data sheet", gpu.name);
            assert!(gpu.price.0 <= gpu.price.1 && gpu.rent.0 <= gpu.rent.1, "{}", gpu.name);
            assert!(gpu.fp8.is_none_or(|fp8| fp8 > gpu.bf16), "{}", gpu.name);
            assert!(gpu.supports(gpu.default_precision()), "{}", gpu.name);
        }
    }

    #[test]
    fn data_sheets_agree_with_multiprocessors_and_clocks() {
        // Operations a clock of a multiprocessor's matrix units in 16 bits, by family (white papers of
        // each; boards for desks have half of those for machine rooms), so that the data-sheet rate
        // implies a clock that such chips run at.
        let each = |generation: Generation| -> &[f64] {
            match generation {
                Generation::Volta | Generation::Turing => &[1024.0],
                Generation::Ampere | Generation::Cdna3 => &[2048.0],
                Generation::AmpereRtx | Generation::Ada | Generation::BlackwellRtx => {
                    &[512.0, 1024.0]
                }
                Generation::Hopper | Generation::Cdna4 => &[4096.0],
                Generation::Blackwell => &[8192.0],
                Generation::Tpu => &[],
            }
        };
        for gpu in Accelerators::published().all() {
            let clock = |each: &f64| gpu.bf16.0 / (gpu.multiprocessors as f64 * each) / 1e9;
            let clocks: Vec<f64> = each(gpu.generation).iter().map(clock).collect();
            // The H20 is held below its clock for export.
            let fits = clocks.iter().any(|clock| (1.4..2.55).contains(clock));
            assert!(clocks.is_empty() || fits || gpu.name == "h20", "{}: {clocks:?}", gpu.name);
            if let (Some(fp8), Some(fp4)) = (gpu.fp8, gpu.fp4) {
                // Data sheets round to three digits.
                assert!((fp8 / gpu.bf16 - 2.0).abs() < 0.01 && fp4 / fp8 > 1.99, "{}", gpu.name);
            }
            // Networks are slower than links, links than memory.
            assert!(gpu.nic < gpu.nvlink && gpu.nvlink < gpu.hbm, "{}", gpu.name);
            assert!(gpu.node <= gpu.domain && gpu.domain.is_multiple_of(gpu.node), "{}", gpu.name);
        }
    }

    #[test]
    fn names_and_aliases_are_found_and_others_explained() {
        let known = Accelerators::published();
        assert_eq!(known.find("H100-80GB-SXM").unwrap().name, "h100");
        for (written, meant) in [
            ("NVIDIA H100 80GB HBM3", "h100"),
            ("A100-SXM4-80GB", "a100"),
            ("a100 40GB", "a100-40gb"),
            ("TPUv4", "tpu-v4"),
            ("GB300 NVL72", "gb300"),
            ("AMD Instinct MI300X OAM", "mi300x"),
            ("NVIDIA GeForce RTX 4090", "rtx-4090"),
            ("rtx5090", "rtx-5090"),
            ("Tesla T4", "t4"),
            ("NVIDIA L40S", "l40s"),
            ("TPU v6e", "tpu-v6e"),
        ] {
            assert_eq!(known.find(written).unwrap().name, meant, "{written}");
        }
        // A slower card of the same name is another device.
        assert!(known.find("H100 PCIe").is_err() && known.find("").is_err());
        let error = known.find("h1000").unwrap_err();
        let PlanError::UnknownGpu { nearest, .. } = &error else { panic!("{error}") };
        assert_eq!(nearest, "h100, a100, h200, h800, a6000");
    }

    #[test]
    fn devices_know_the_formats_they_multiply_in() {
        let known = Accelerators::published();
        // Formats by the makers' tables: all that a device has, in the order of `Precision::ALL`.
        for (name, formats) in [
            ("v100", "fp16"),
            ("t4", "fp16"),
            ("rtx-3090", "bf16 fp16"),
            ("a100", "bf16 fp16"),
            ("rtx-4090", "bf16 fp16 fp8-rowwise fp8"),
            ("h20", "bf16 fp16 fp8-rowwise fp8"),
            ("mi355x", "bf16 fp16 fp8-rowwise fp8 fp4"),
            ("b200", "bf16 fp16 fp8-rowwise fp8 fp4"),
            ("tpu-v5e", "bf16"),
        ] {
            let gpu = known.find(name).unwrap();
            let has: Vec<&str> = Precision::ALL
                .into_iter()
                .filter(|format| gpu.supports(*format))
                .map(Precision::name)
                .collect();
            assert_eq!(has.join(" "), formats, "{name}");
        }
        let nearest = |name: &str, asked| known.find(name).unwrap().nearest_precision(asked);
        assert_eq!(nearest("v100", Precision::Bf16), Precision::Fp16);
        assert_eq!(nearest("tpu-v4", Precision::Fp16), Precision::Bf16);
        assert_eq!(nearest("h100", Precision::Fp4), Precision::Fp8);
        assert_eq!(nearest("a100", Precision::Fp4), Precision::Bf16);
    }

    #[test]
    fn a_number_without_source_is_refused() {
        let text = GPU_DATA.replace("s = \"mamf\"", "s = \"hearsay\"");
        let error = Accelerators::read(&text, "gpus.toml").unwrap_err();
        assert!(error.to_string().contains("hearsay"), "{error}");
    }
}
