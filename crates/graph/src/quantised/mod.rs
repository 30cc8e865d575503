//! Block-quantised weights, bit for bit as ggml stores them: numbers to blocks and back. Pure.
//! Blocks are little-endian on every machine. Blocks of 32 numbers are in `simple`, those of 256,
//! which hold blocks with scales of a few bits, in `nested`; how scales are chosen for these is in
//! `fitting`.

mod fitting;
mod nested;
mod simple;

use half::f16;

use crate::DType;

/// Blocks of a quantised type from numbers, rounded as ggml's reference does (`quantize_row_*_ref`;
/// where a product's rounding decides and C leaves it to the compiler, as ggml's Python package
/// computes it, in f64). A block with NaN or infinity gets a scale of NaN: all of it is NaN.
///
/// # Panics
/// If the type is not quantised or the numbers are not whole blocks.
pub fn quantise(dtype: DType, numbers: &[f32]) -> Vec<u8> {
    let layout = dtype.block();
    assert!(
        numbers.len().is_multiple_of(layout.elements),
        "{} numbers are not whole blocks of {}",
        numbers.len(),
        layout.elements
    );
    let mut bytes = vec![0; numbers.len() / layout.elements * layout.bytes];
    let blocks = bytes.chunks_exact_mut(layout.bytes);
    for (block, numbers) in blocks.zip(numbers.chunks_exact(layout.elements)) {
        match dtype {
            DType::Q8_0 => simple::write_q8_0(numbers, block),
            DType::Q4_0 => simple::write_centred::<4>(numbers, block),
            DType::Q5_0 => simple::write_centred::<5>(numbers, block),
            DType::Q4_1 => simple::write_shifted::<4>(numbers, block),
            DType::Q5_1 => simple::write_shifted::<5>(numbers, block),
            DType::Q2_K => nested::write_q2(numbers, block),
            DType::Q3_K => nested::write_q3(numbers, block),
            DType::Q4_K => nested::write_q4_or_5::<4>(numbers, block),
            DType::Q5_K => nested::write_q4_or_5::<5>(numbers, block),
            DType::Q6_K => nested::write_q6(numbers, block),
            DType::F32 | DType::BF16 | DType::F16 | DType::I32 => {
                panic!("{dtype} has no blocks to quantise to")
            }
        }
    }
    bytes
}

/// The numbers that blocks stand for, with the one rounding that products and differences of a
/// scale, a weight and an offset have in f32.
///
/// # Panics
/// If the type is not quantised or the lengths do not fit.
pub fn dequantise(dtype: DType, blocks: &[u8], numbers: &mut [f32]) {
    let layout = dtype.block();
    assert_eq!(blocks.len() / layout.bytes * layout.elements, numbers.len(), "{dtype} blocks");
    let numbers = numbers.chunks_exact_mut(layout.elements);
    for (block, numbers) in blocks.chunks_exact(layout.bytes).zip(numbers) {
        match dtype {
            DType::Q8_0 => simple::read_q8_0(block, numbers),
            DType::Q4_0 => simple::read_centred::<4>(block, numbers),
            DType::Q5_0 => simple::read_centred::<5>(block, numbers),
            DType::Q4_1 => simple::read_shifted::<4>(block, numbers),
            DType::Q5_1 => simple::read_shifted::<5>(block, numbers),
            DType::Q2_K => nested::read_q2(block, numbers),
            DType::Q3_K => nested::read_q3(block, numbers),
            DType::Q4_K => nested::read_q4_or_5::<4>(block, numbers),
            DType::Q5_K => nested::read_q4_or_5::<5>(block, numbers),
            DType::Q6_K => nested::read_q6(block, numbers),
            DType::F32 | DType::BF16 | DType::F16 | DType::I32 => {
                panic!("{dtype} has no blocks to dequantise")
            }
        }
    }
}

/// The binary16 number in two bytes.
fn read_f16(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Writes a number as binary16, and returns what was written.
fn write_f16(bytes: &mut [u8], at: usize, number: f32) -> f32 {
    let rounded = f16::from_f32(number);
    bytes[at..at + 2].copy_from_slice(&rounded.to_le_bytes());
    rounded.to_f32()
}

fn all_finite(numbers: &[f32]) -> bool {
    numbers.iter().all(|x| x.is_finite())
}

/// The number of largest magnitude, the first of equals.
fn extreme(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |most: f32, &x| if x.abs() > most.abs() { x } else { most })
}
