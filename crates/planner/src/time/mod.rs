//! How long a training step takes: products, attention and pointwise work of a layer, the exchange
//! between ranks, the pipeline, the optimizer. Memory is in [`crate::memory`].

mod exchange;
mod layer;
mod product;
mod step;
mod timeline;

pub use exchange::Group;
pub use layer::{LayerTime, layer_times};
pub use product::Product;
pub use step::{Breakdown, Job, hardware_flops, step_time};
pub use timeline::{Lane, Span, Timeline, Totals, Work, timeline};
