//! What a run costs to buy and to rent, and its energy: every input a dated range, every answer an
//! interval, with what moves it most.

mod bill;
mod prices;

pub use bill::{Bill, Interval, Run, Sensitivity, bill};
pub use prices::{PRICE_DATA, Prices, Range};
