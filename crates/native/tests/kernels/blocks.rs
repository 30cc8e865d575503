//! Quantised blocks as numbers, against the reference, bit for bit.

use half::{bf16, f16};
use stoa_graph::{DType, dequantise};
use stoa_native::kernels::{gather, pointwise};

use crate::oracle::{Numbers, on_every_machine};

/// Rows of a table, and the blocks of a row: more than a task casts at once.
const ROWS: usize = 41;
const BLOCKS: usize = 5;

fn bits(numbers: &[f32]) -> Vec<u32> {
    // Of NaN neither sign nor payload is promised.
    numbers.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

/// Blocks of any bytes: every scale, NaN, infinity and zero among them, and every integer.
#[test]
fn blocks_of_any_bytes_read_as_the_reference_reads_them() {
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_quantised()) {
        let layout = dtype.block();
        let d = BLOCKS * layout.elements;
        // For types of small blocks more of them, so that there are as many numbers.
        let rows = ROWS * 256 / layout.elements;
        let mut random = Numbers(layout.bytes as u64);
        let table: Vec<u8> =
            (0..rows * BLOCKS * layout.bytes).map(|_| random.next() as u8).collect();
        let mut expected = vec![0.0; rows * d];
        dequantise(dtype, &table, &mut expected);
        let ids: Vec<i32> = (0..64).map(|_| random.below(rows) as i32).collect();
        let gathered: Vec<f32> =
            ids.iter().flat_map(|&id| expected[id as usize * d..][..d].to_vec()).collect();
        let rounded = |to: fn(f32) -> f32| expected.iter().map(|&x| to(x)).collect::<Vec<_>>();
        let halves = rounded(|x| f16::from_f32(x).to_f32());
        let brains = rounded(|x| bf16::from_f32(x).to_f32());
        on_every_machine(
            |context| {
                let mut wide = vec![0.0_f32; expected.len()];
                pointwise::cast_blocks(context, dtype, &table, &mut wide);
                let mut half = vec![f16::ZERO; expected.len()];
                pointwise::cast_blocks(context, dtype, &table, &mut half);
                let mut brain = vec![bf16::ZERO; expected.len()];
                pointwise::cast_blocks(context, dtype, &table, &mut brain);
                let mut rows = vec![0.0; gathered.len()];
                gather::gather_blocks(context, dtype, &table, d, &ids, &mut rows);
                let (half, brain) =
                    (half.iter().map(|x| x.to_f32()), brain.iter().map(|x| x.to_f32()));
                vec![wide, half.collect(), brain.collect(), rows]
            },
            |isa, found| {
                for (what, found, expected) in [
                    ("f32", &found[0], &expected),
                    ("f16", &found[1], &halves),
                    ("bf16", &found[2], &brains),
                    ("gathered", &found[3], &gathered),
                ] {
                    assert!(bits(found) == bits(expected), "{dtype} to {what} on {isa}");
                }
            },
        );
    }
}
