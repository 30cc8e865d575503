//! Weights that files store in 8 bits beside tensors of scales: which tensor is the scale of which, and the
//! numbers that they stand for. Floats are those of arXiv 2209.05433; names are those of DeepSeek and
//! `transformers` (`weight_scale_inv`), of compressed-tensors, fbgemm and modelopt (`weight_scale`), and
//! of bitsandbytes (`SCB`).

use std::collections::BTreeMap;

use half::f16;
use safetensors::tensor::Dtype;
use stoa_graph::{DType, Tensor};
use stoa_maps::Map;

use crate::load::stored;
use crate::weights::Entry;
use crate::{EightBits, ModelError, Note};

type Result<T> = std::result::Result<T, ModelError>;

/// A tensor of one of several mapped files.
pub(crate) struct Source<'a> {
    pub map: &'a Map,
    pub entry: Entry,
}

impl Source<'_> {
    fn bytes(&self) -> &[u8] {
        &self.map[self.entry.range.clone()]
    }

    /// Its numbers, of whichever type scales have.
    fn numbers(self) -> Result<Vec<f32>> {
        if self.entry.dtype == Dtype::I8 {
            return Ok(self.bytes().iter().map(|&byte| f32::from(byte as i8)).collect());
        }
        if self.entry.dtype == Dtype::F8_E8M0 {
            let power = |&byte: &u8| f64::from(i32::from(byte) - 127).exp2() as f32;
            return Ok(self.bytes().iter().map(power).collect());
        }
        let path = self.map.path();
        let tensor = stored(self.map, self.entry).map_err(|error| error.at(path))?;
        Ok(tensor.to_f64().into_iter().map(|x| x as f32).collect())
    }
}

/// What each byte of a type stands for, if it has 8 bits and scales.
fn codes(dtype: Dtype) -> Option<[f32; 256]> {
    let of = |number: fn(u8) -> f32| Some(std::array::from_fn(|byte| number(byte as u8)));
    if dtype == Dtype::I8 {
        return of(|byte| f32::from(byte as i8));
    }
    if dtype == Dtype::F8_E5M2 {
        // The upper half of an f16.
        return of(|byte| f16::from_bits(u16::from(byte) << 8).to_f32());
    }
    (dtype == Dtype::F8_E4M3).then(|| std::array::from_fn(|byte| e4m3(byte as u8)))
}

/// E4M3 of arXiv 2209.05433 §3.1: no infinities, NaN where all bits but the sign are set.
fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let size = match (exponent, byte & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa * 2f32.powi(-9),
        _ => (8.0 + mantissa) * 2f32.powi(exponent - 10),
    };
    if byte >> 7 == 1 { -size } else { size }
}

/// Scales of activations, which are not rounded here.
const OF_ACTIVATIONS: [&str; 12] = [
    ".input_scale",
    ".input_scale_ub",
    ".input_zero_point",
    ".output_scale",
    ".output_zero_point",
    ".q_scale",
    ".k_scale",
    ".v_scale",
    ".kv_scale",
    ".prob_scale",
    ".k_zero_point",
    ".v_zero_point",
];

/// bitsandbytes' mark of the order of a matrix, 0 for rows.
const FORMAT: &str = "weight_format";
/// Its scales: the greatest magnitude of each row, which 127 stands for.
const GREATEST: &str = "SCB";

/// The scales of a tensor.
pub(crate) struct Scales {
    name: String,
    shape: Vec<usize>,
    scale: Vec<f32>,
    zero: Option<Vec<f32>>,
}

/// Takes the scales out of the tensors of a model, by the name of the tensor that they belong to; nothing
/// where none is stored in 8 bits.
///
/// # Errors
/// [`ModelError::NoScale`] names a tensor without one.
pub(crate) fn taken(
    sources: &mut BTreeMap<String, Source<'_>>,
    to: EightBits,
    notes: &mut Vec<Note>,
) -> Result<BTreeMap<String, Scales>> {
    let companion = |name: &str| {
        name.ends_with("_zero_point") || OF_ACTIVATIONS.iter().any(|end| name.ends_with(end))
    };
    let eight = |(name, source): (&String, &Source<'_>)| {
        (codes(source.entry.dtype).is_some() && !companion(name)).then(|| name.clone())
    };
    let names: Vec<String> = sources.iter().filter_map(eight).collect();
    let mut found = BTreeMap::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        let dtype = sources[&name].entry.dtype;
        *counts.entry(format!("{dtype:?}")).or_default() += 1;
        found.insert(name.clone(), scales_of(&name, dtype, sources)?);
    }
    if found.is_empty() {
        return Ok(found);
    }
    let before = sources.len();
    sources.retain(|name, _| !OF_ACTIVATIONS.iter().any(|end| name.ends_with(end)));
    let left_aside = before - sources.len();
    let counts: Vec<String> = counts.iter().map(|(ty, n)| format!("{n} of {ty}")).collect();
    let text = format!("tensors of 8 bits, {}, are dequantised to {}", counts.join(", "), to.dtype);
    notes.push(Note::new("weights:", text));
    if left_aside > 0 {
        let text = format!("{left_aside} scales of activations, which are not rounded, left aside");
        notes.push(Note::new("weights:", text));
    }
    Ok(found)
}

fn scales_of(
    name: &str,
    dtype: Dtype,
    sources: &mut BTreeMap<String, Source<'_>>,
) -> Result<Scales> {
    let stem = name.strip_suffix("weight").unwrap_or(name);
    let greatest = format!("{stem}{GREATEST}");
    let candidates = [format!("{name}_scale_inv"), format!("{name}_scale"), greatest.clone()];
    let there = candidates.iter().find_map(|scale| sources.remove_entry(scale));
    let Some((scale_name, source)) = there else {
        let dtype = format!("{dtype:?}");
        return Err(ModelError::NoScale {
            name: name.into(),
            dtype,
            looked_for: candidates.into(),
        });
    };
    let shape = source.entry.shape.clone();
    let mut scale = source.numbers()?;
    if scale_name == greatest {
        scale.iter_mut().for_each(|greatest| *greatest /= 127.0);
        if let Some(format) = sources.remove(&format!("{stem}{FORMAT}"))
            && format.bytes().iter().any(|&byte| byte != 0)
        {
            return Err(ModelError::Unsupported {
                key: format!("{stem}{FORMAT}"),
                value: format!("{:?}", format.bytes()),
                expected: "0, rows".into(),
            });
        }
    }
    let zero = sources.remove(&format!("{name}_zero_point")).map(Source::numbers).transpose()?;
    if let Some(found) = zero.as_ref().filter(|zero| zero.len() != scale.len()) {
        let (found, of) = (vec![found.len()], shape);
        return Err(ModelError::ScaleShape { scale: format!("{name}_zero_point"), found, of });
    }
    Ok(Scales { name: scale_name, shape, scale, zero })
}

impl Scales {
    /// The tensor that the bytes of a source stand for, in the type that was chosen.
    pub fn dequantised(&self, source: &Source<'_>, to: EightBits) -> Result<Tensor> {
        let Entry { shape, dtype, .. } = &source.entry;
        let codes = codes(*dtype).expect("a tensor of 8 bits");
        let bytes = source.bytes();
        let rows = shape.first().copied().unwrap_or(1);
        let columns = bytes.len() / rows.max(1);
        let [high, wide] = self.unit([rows, columns], to.block)?;
        let across = columns.div_ceil(wide);
        let zero = |at: usize| self.zero.as_ref().map_or(0.0, |zero| zero[at]);
        let mut numbers = Vec::with_capacity(bytes.len());
        for (row, bytes) in bytes.chunks(columns.max(1)).enumerate() {
            for (nth, bytes) in bytes.chunks(wide).enumerate() {
                let at = row / high * across + nth;
                let (scale, zero) = (self.scale[at], zero(at));
                numbers.extend(bytes.iter().map(|&b| (codes[usize::from(b)] - zero) * scale));
            }
        }
        if to.dtype == DType::F16
            && let Some(far) = numbers.iter().find(|x| x.is_finite() && x.abs() > 65_504.0)
        {
            return Err(ModelError::BeyondF16 { name: source.entry.name.clone(), number: *far });
        }
        Ok(Tensor::f32(shape.clone(), numbers)?.converted(to.dtype)?)
    }

    /// Rows and columns that share a scale.
    fn unit(&self, [rows, columns]: [usize; 2], block: Option<[usize; 2]>) -> Result<[usize; 2]> {
        /// What DeepSeek's files have that do not say so.
        const USUAL: [usize; 2] = [128, 128];
        let fits = |&[high, wide]: &[usize; 2]| {
            self.shape == [rows.div_ceil(high), columns.div_ceil(wide)]
        };
        let by_block = block.filter(fits);
        let by_row = match self.shape.as_slice() {
            [n] | [n, 1] => (*n == rows).then_some([1, columns.max(1)]),
            [n, groups] if *n == rows && *groups > 0 && columns.is_multiple_of(*groups) => {
                Some([1, (columns / groups).max(1)])
            }
            _ => None,
        };
        let whole = (self.scale.len() == 1).then_some([rows.max(1), columns.max(1)]);
        let found = by_block.or(whole).or(by_row).or_else(|| Some(USUAL).filter(fits));
        found.ok_or_else(|| ModelError::ScaleShape {
            scale: self.name.clone(),
            found: self.shape.clone(),
            of: vec![rows, columns],
        })
    }
}
