//! What each op takes and gives, and what it says when something does not fit. Types are written
//! as programs print them: `f32[3, 5]`; inputs are separated by `;`.

#![allow(clippy::unwrap_used)]

mod attention;
mod floats;
mod linear;
mod losses;
mod pointwise;
mod programs;
mod rules;
