//! Real data: recorded responses of services, and the rules on real posts.

mod fixtures;
mod rules;
#[path = "../test_data/mod.rs"]
mod test_data;
