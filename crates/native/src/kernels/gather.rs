//! Rows of a table by index, and the gradient: rows summed by index.

use stoa_graph::DType;

use super::convert::{Cast, Float};
use super::dequantise::dequantise;
use super::disjoint::Disjoint;
use crate::context::Context;
use crate::gemm::PanelMatrix;
use crate::pool::Pool;

/// Elements a task copies.
const TASK: usize = 1 << 14;

/// y [n, d] = rows `ids` of `table` [rows, d], widened to f32.
///
/// # Panics
/// If an id lies outside the table or y is not [n, d]; the engine checks ids before it runs.
pub fn gather<T: Float>(context: Context<'_>, table: &[T], d: usize, ids: &[i32], y: &mut [f32]) {
    assert_eq!(y.len(), ids.len() * d, "gather: y is [ids, d]");
    if d == 0 {
        return;
    }
    let per_task = (TASK / d).max(1);
    let y = Disjoint::new(y);
    context.pool.run(ids.len().div_ceil(per_task), &|task, _| {
        let first = task * per_task;
        for (i, &id) in ids.iter().enumerate().skip(first).take(per_task) {
            let x = &table[row(id, d)..][..d];
            // SAFETY: each task has its own rows.
            context.isa.dispatch(Cast { x, y: unsafe { y.part(i * d, d) } });
        }
    });
}

/// As [`gather`], of a table of quantised blocks.
///
/// # Panics
/// As [`gather`], and if the table is not rows of whole blocks of a quantised type.
pub fn gather_blocks(
    context: Context<'_>,
    dtype: DType,
    table: &[u8],
    d: usize,
    ids: &[i32],
    y: &mut [f32],
) {
    assert_eq!(y.len(), ids.len() * d, "gather: y is [ids, d]");
    if d == 0 {
        return;
    }
    let layout = dtype.block();
    let row_bytes = d / layout.elements * layout.bytes;
    let per_task = (TASK / d).max(1);
    let y = Disjoint::new(y);
    context.pool.run(ids.len().div_ceil(per_task), &|task, _| {
        let first = task * per_task;
        for (i, &id) in ids.iter().enumerate().skip(first).take(per_task) {
            let blocks = &table[row(id, row_bytes)..][..row_bytes];
            // SAFETY: each task has its own rows.
            dequantise(context.isa, dtype, blocks, unsafe { y.part(i * d, d) });
        }
    });
}

/// As [`gather`], of a matrix in panels.
///
/// # Panics
/// As [`gather`].
pub fn gather_panels(context: Context<'_>, table: PanelMatrix<'_>, ids: &[i32], y: &mut [f32]) {
    let d = table.cols();
    assert_eq!(y.len(), ids.len() * d, "gather: y is [ids, d]");
    let y = Disjoint::new(y);
    context.pool.run(ids.len(), &|task, _| {
        // SAFETY: each task has its own row.
        table.row_to_f32(context.isa, row(ids[task], 1), unsafe { y.part(task * d, d) });
    });
}

/// First element of row `id`.
fn row(id: i32, d: usize) -> usize {
    usize::try_from(id).expect("ids of a table are not negative") * d
}

/// dtable [rows, d] += dy [n, d] summed by id, each row in order of n.
///
/// # Panics
/// If an id lies outside the table or dy is not [n, d].
pub fn gather_backward(pool: &Pool, ids: &[i32], d: usize, dy: &[f32], dtable: &mut [f32]) {
    assert_eq!(dy.len(), ids.len() * d, "gather_backward: dy is [ids, d]");
    if d == 0 || ids.is_empty() {
        return;
    }
    // Positions sorted by id and then by n, so that one task owns all of a row.
    let mut order: Vec<(i32, u32)> = ids.iter().zip(0..).map(|(&id, n)| (id, n)).collect();
    order.sort_unstable();
    let per_task = (TASK / d).max(1);
    let to = Disjoint::new(dtable);
    pool.run(order.len().div_ceil(per_task), &|task, _| {
        // A task takes the rows whose first entry lies in its share of the order.
        let first = task * per_task;
        let starts_here = |i: usize| i == 0 || order[i].0 != order[i - 1].0;
        let Some(mut i) = (first..order.len().min(first + per_task)).find(|&i| starts_here(i))
        else {
            return;
        };
        while i < order.len() && (i < first + per_task || !starts_here(i)) {
            let (id, n) = order[i];
            // SAFETY: all entries of a row are visited by one task.
            let sum = unsafe { to.part(row(id, d), d) };
            let dy = &dy[n as usize * d..][..d];
            sum.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
            i += 1;
        }
    });
}
