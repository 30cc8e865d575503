//! Time of a matrix product on one device: a roofline whose compute side counts whole tiles and
//! whole waves of tiles over the multiprocessors. No library is timed.

use crate::hardware::Gpu;
use crate::units::{ByteRate, Bytes, FlopRate, Flops, Seconds};

/// Output tiles that vendor libraries choose among, with the share of the best rate each attains:
/// smaller tiles read more for each product (NVIDIA, "Matrix multiplication background", 2023).
const TILES: &[(usize, usize, f64)] = &[
    (256, 128, 1.0),
    (128, 256, 1.0),
    (128, 128, 0.95),
    (128, 64, 0.82),
    (64, 128, 0.82),
    (64, 64, 0.65),
];

/// Depth of the inner dimension that filling and draining a tile's pipeline costs, in elements: a
/// few stages of 32 to 64 elements.
const PIPELINE_DEPTH: f64 = 96.0;

/// Part of an unfilled last wave that is lost; the rest is recovered by splitting the inner
/// dimension (stream-K, arXiv:2301.03598).
const TAIL_LOST: f64 = 0.5;

/// Sizes of `C[m, n] = A[m, k] · B[k, n]`, `count` times over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Product {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Inner dimension.
    pub k: usize,
    /// How many such products run as one kernel.
    pub count: usize,
}

impl Product {
    /// A single product.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        Product { m, n, k, count: 1 }
    }

    /// Operations.
    pub fn flops(&self) -> Flops {
        Flops(2.0 * self.m as f64 * self.n as f64 * self.k as f64 * self.count as f64)
    }

    /// The product that gives the gradient of the left factor: `dC · Bᵀ`.
    pub fn left_gradient(&self) -> Self {
        Product { m: self.m, n: self.k, k: self.n, count: self.count }
    }

    /// The product that gives the gradient of the right factor: `Aᵀ · dC`.
    pub fn right_gradient(&self) -> Self {
        Product { m: self.k, n: self.n, k: self.m, count: self.count }
    }

    /// Operations as if tiles and waves were whole, over operations: 1 is no waste.
    pub fn waste(&self, gpu: &Gpu) -> f64 {
        let seconds = self.seconds_at(gpu, FlopRate(1.0), ByteRate(f64::INFINITY), 2.0);
        seconds / Seconds(self.flops().0)
    }

    /// Time at the given attainable rates, `width` bytes an element.
    pub fn seconds_at(&self, gpu: &Gpu, rate: FlopRate, hbm: ByteRate, width: f64) -> Seconds {
        if self.m == 0 || self.n == 0 || self.k == 0 || self.count == 0 {
            return Seconds::ZERO;
        }
        let (m, n, k) = (self.m as f64, self.n as f64, self.k as f64);
        let compute = TILES
            .iter()
            .map(|&(rows, columns, share)| {
                let tiles = self.m.div_ceil(rows) * self.n.div_ceil(columns) * self.count;
                let waves = tiles as f64 / gpu.multiprocessors as f64;
                let waves = waves + TAIL_LOST * (waves.ceil() - waves);
                let padded = waves * (gpu.multiprocessors * rows * columns) as f64 * 2.0 * k;
                Flops(padded) / (rate * share)
            })
            .fold(Seconds(f64::INFINITY), Seconds::min);
        let depth = (k + PIPELINE_DEPTH) / k;
        let bytes = Bytes((m * k + k * n + m * n) * width * self.count as f64);
        (compute * (depth / alignment(self.n.min(self.k), self.n, self.k))).max(bytes / hbm)
    }
}

/// Share of the rate that rows of memory not aligned to 128 bytes leave. (NVIDIA's guide asks for
/// multiples of 64 elements; BLOOM's chronicles measured 94 against 120 TFLOP/s for a hidden size
/// split into 1800 against 1728 columns a rank.)
fn alignment(_narrowest: usize, n: usize, k: usize) -> f64 {
    let worst = n.trailing_zeros().min(k.trailing_zeros());
    match worst {
        6.. => 1.0,
        5 => 0.97,
        4 => 0.90,
        3 => 0.80,
        _ => 0.40,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::Accelerators;

    #[test]
    fn large_aligned_products_waste_little() {
        let known = Accelerators::published();
        let a100 = known.find("a100").unwrap();
        let waste = Product::new(8192, 8192, 8192).waste(a100);
        assert!((1.0..1.06).contains(&waste), "{waste}");
        // One tile more than a wave costs half a wave.
        let full = Product::new(128 * 12, 128 * 9, 4096);
        let over = Product::new(128 * 12 + 1, 128 * 9, 4096);
        assert!(over.waste(a100) > full.waste(a100));
    }

    #[test]
    fn the_odd_hidden_size_is_slower() {
        let known = Accelerators::published();
        let a100 = known.find("a100").unwrap();
        let odd = Product::new(2048, 14_400 / 8, 14_400).waste(a100);
        let even = Product::new(2048, 13_824 / 8, 13_824).waste(a100);
        assert!(odd / even > 1.1, "{odd} {even}");
    }
}
