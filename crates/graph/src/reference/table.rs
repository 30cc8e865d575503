//! Rows of a table by index, and indices read from data.

use super::{Array, Result};
use crate::GraphError;

/// The index at `position`, when it lies in 0..limit.
pub(super) fn checked(
    op: &'static str,
    indices: &Array,
    position: usize,
    limit: usize,
) -> Result<usize> {
    let index = indices.index(position);
    match usize::try_from(index) {
        Ok(i) if i < limit => Ok(i),
        _ => Err(GraphError::Index { op, index, position, limit }),
    }
}

/// As [`checked`], with −1 for none.
pub(super) fn checked_or_none(
    op: &'static str,
    indices: &Array,
    position: usize,
    limit: usize,
) -> Result<Option<usize>> {
    if indices.index(position) == -1 {
        return Ok(None);
    }
    checked(op, indices, position, limit).map(Some)
}

/// Rows of the table by id.
pub(super) fn gather(table: &Array, ids: &Array) -> Result<Array> {
    let n = ids.data.len();
    let mut out = Array::zeros(&[n, table.shape[1]]);
    for i in 0..n {
        let row = checked("gather", ids, i, table.shape[0])?;
        out.row_mut(i).copy_from_slice(table.row(row));
    }
    Ok(out)
}

/// dy summed by id.
pub(super) fn gather_backward(ids: &Array, dy: &Array, rows: usize) -> Result<Array> {
    let mut out = Array::zeros(&[rows, dy.shape[1]]);
    for i in 0..ids.data.len() {
        let row = checked("gather_backward", ids, i, rows)?;
        out.row_mut(row).iter_mut().zip(dy.row(i)).for_each(|(out, dy)| *out += dy);
    }
    Ok(out)
}
