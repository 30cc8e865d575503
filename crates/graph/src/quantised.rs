//! Block-quantised weights, bit for bit as ggml stores them: numbers to blocks and back. Pure.
//! Blocks are little-endian on every machine.

use half::f16;

use crate::DType;

/// Elements of a block of the formats here.
const BLOCK: usize = 32;
const HALF: usize = BLOCK / 2;

/// Blocks of a quantised type from numbers, rounded as ggml's reference does (`quantize_row_q8_0_ref`
/// and `quantize_row_q4_0_ref`, as its Python package computes them: products in f64, since those
/// of C depend on whether the compiler fuses them). A block with NaN or infinity gets a scale of
/// NaN: all of it is NaN.
///
/// # Panics
/// If the type is not quantised or the numbers are not whole blocks.
pub fn quantise(dtype: DType, numbers: &[f32]) -> Vec<u8> {
    let (blocks, rest) = numbers.as_chunks::<BLOCK>();
    assert!(rest.is_empty(), "{} numbers are not whole blocks of {BLOCK}", numbers.len());
    let mut bytes = Vec::with_capacity(blocks.len() * dtype.block().bytes);
    for block in blocks {
        match dtype {
            DType::Q8_0 => push_q8_0(block, &mut bytes),
            DType::Q4_0 => push_q4_0(block, &mut bytes),
            DType::F32 | DType::BF16 | DType::F16 | DType::I32 => {
                panic!("{dtype} has no blocks to quantise to")
            }
        }
    }
    bytes
}

/// The numbers that blocks stand for; exact, since a scale has 11 digits and a weight at most 8.
///
/// # Panics
/// If the type is not quantised or the lengths do not fit.
pub fn dequantise(dtype: DType, blocks: &[u8], numbers: &mut [f32]) {
    let layout = dtype.block();
    assert_eq!(blocks.len() / layout.bytes * layout.elements, numbers.len(), "{dtype} blocks");
    let (numbers, _) = numbers.as_chunks_mut::<BLOCK>();
    for (block, numbers) in blocks.chunks_exact(layout.bytes).zip(numbers) {
        let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
        let weights = &block[2..];
        match dtype {
            DType::Q8_0 => {
                for (number, &q) in numbers.iter_mut().zip(weights) {
                    *number = scale * f32::from(q as i8);
                }
            }
            DType::Q4_0 => {
                for (i, &pair) in weights.iter().enumerate() {
                    numbers[i] = scale * f32::from((pair & 15) as i8 - 8);
                    numbers[HALF + i] = scale * f32::from((pair >> 4) as i8 - 8);
                }
            }
            DType::F32 | DType::BF16 | DType::F16 | DType::I32 => {
                panic!("{dtype} has no blocks to dequantise")
            }
        }
    }
}

/// The number of largest magnitude, the first of equals; NaN when any number is not finite.
fn extreme(block: &[f32; BLOCK]) -> f32 {
    if block.iter().any(|x| !x.is_finite()) {
        return f32::NAN;
    }
    block.iter().fold(0.0, |most: f32, &x| if x.abs() > most.abs() { x } else { most })
}

/// 1/scale, 0 for a scale of 0.
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

fn push_q8_0(block: &[f32; BLOCK], bytes: &mut Vec<u8>) {
    let scale = extreme(block).abs() / 127.0;
    let inverse = inverse(scale);
    bytes.extend(f16::from_f32(scale).to_le_bytes());
    // `round` takes halves away from zero, as roundf does.
    bytes.extend(block.iter().map(|x| (x * inverse).round() as i8 as u8));
}

fn push_q4_0(block: &[f32; BLOCK], bytes: &mut Vec<u8>) {
    // The extreme becomes −8, the one end of −8..=7.
    let scale = extreme(block) / -8.0;
    let inverse = f64::from(inverse(scale));
    let nibble = |x: f32| ((f64::from(x) * inverse + 8.5) as u8).min(15);
    bytes.extend(f16::from_f32(scale).to_le_bytes());
    bytes.extend((0..HALF).map(|i| nibble(block[i]) | nibble(block[HALF + i]) << 4));
}
