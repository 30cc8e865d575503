//! Time of collectives over the fast link or the network: volume over the rate attained, and the
//! latencies of a ring, or of a tree where that is shorter. What the network beyond the machine leaves
//! of a device's rate, and adds to a hop, is given by [`crate::fabric`].

use crate::calibration::Constants;
use crate::hardware::Gpu;
use crate::units::{ByteRate, Bytes, Seconds};

/// A group of ranks that exchange.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Ranks.
    pub ranks: usize,
    /// Distance between two neighbours in the order of devices: ranks between them belong to others.
    pub stride: usize,
}

impl Group {
    /// Whether all ranks share the fast link.
    pub fn is_local(&self, gpu: &Gpu) -> bool {
        self.ranks * self.stride <= gpu.domain
    }

    /// Ranks of the group in one domain of the fast link.
    pub fn ranks_in_domain(&self, gpu: &Gpu) -> usize {
        (gpu.domain / self.stride).clamp(1, self.ranks)
    }

    /// Rate of each rank: of the fast link, or of the network interfaces its domain's ranks join
    /// (a ring enters and leaves a domain once, and there are as many rings as interfaces).
    pub fn rate(&self, gpu: &Gpu, constants: &Constants) -> ByteRate {
        let link = gpu.nvlink * constants.nvlink;
        if self.is_local(gpu) {
            return link;
        }
        let rings = self.ranks_in_domain(gpu);
        let share = gpu.fabric.share(self.reach(), self.stride * rings);
        let network = gpu.nic * (constants.network * share) * rings as f64;
        network.min(link)
    }

    /// Neighbouring devices that the group spans.
    fn reach(&self) -> usize {
        self.ranks.saturating_mul(self.stride)
    }

    /// Steps within a domain, and between domains.
    fn steps(&self, gpu: &Gpu) -> (f64, f64) {
        let inside = self.ranks_in_domain(gpu).min(8);
        let outside = self.ranks.div_ceil(self.ranks_in_domain(gpu));
        // Within a domain switches halve the steps; between domains each is a hop.
        (0.5 * inside.saturating_sub(1) as f64, outside.saturating_sub(1) as f64)
    }

    fn latency(&self, gpu: &Gpu, constants: &Constants) -> Seconds {
        let hop = Seconds(constants.hop_us * 1e-6);
        let (inside, outside) = self.steps(gpu);
        hop * (inside + outside) + self.fabric(gpu, |reach| gpu.fabric.around(reach))
    }

    /// Latency of a tree up or down: as many levels as doublings, each as far as the group reaches.
    fn tree_latency(&self, gpu: &Gpu, constants: &Constants) -> Seconds {
        let hop = Seconds(constants.hop_us * 1e-6);
        let (inside, outside) = self.steps(gpu);
        let levels = (outside + 1.0).log2();
        hop * inside + (hop + self.fabric(gpu, |reach| gpu.fabric.farthest(reach))) * levels
    }

    fn fabric(&self, gpu: &Gpu, of: impl Fn(usize) -> Seconds) -> Seconds {
        if self.is_local(gpu) { Seconds::ZERO } else { of(self.reach()) }
    }

    /// Every rank ends with all `whole` bytes of which it held its part; or, the other way, with its
    /// part of the sum.
    pub fn gather(&self, whole: Bytes, gpu: &Gpu, constants: &Constants) -> Seconds {
        if self.ranks <= 1 {
            return Seconds::ZERO;
        }
        self.moving(whole, gpu, constants) + self.latency(gpu, constants)
    }

    fn moving(&self, whole: Bytes, gpu: &Gpu, constants: &Constants) -> Seconds {
        whole * ((self.ranks - 1) as f64 / self.ranks as f64) / self.rate(gpu, constants)
    }

    /// Sum of `whole` bytes known to all, by a ring or by two trees that share the bytes, whichever
    /// takes less (NCCL since 2.4 chooses so; Sanders and others 2009 for the pair of trees).
    pub fn all_reduce(&self, whole: Bytes, gpu: &Gpu, constants: &Constants) -> Seconds {
        if self.ranks <= 1 {
            return Seconds::ZERO;
        }
        let latency = self.latency(gpu, constants).min(self.tree_latency(gpu, constants));
        (self.moving(whole, gpu, constants) + latency) * 2.0
    }

    /// Every rank sends `own` bytes, evenly to all; those beyond the domain go over its own
    /// network interface.
    pub fn all_to_all(&self, own: Bytes, gpu: &Gpu, constants: &Constants) -> Seconds {
        if self.ranks <= 1 {
            return Seconds::ZERO;
        }
        let near = self.ranks_in_domain(gpu) as f64 / self.ranks as f64;
        let link =
            own * (near - 1.0 / self.ranks as f64).max(0.0) / (gpu.nvlink * constants.nvlink);
        let upwards = if self.is_local(gpu) { 0.0 } else { gpu.fabric.even_exchange(self.reach()) };
        let network = own * (1.0 - near).max(upwards) / (gpu.nic * constants.all_to_all);
        let hop = Seconds(constants.hop_us * 1e-6) * 4.0;
        link.max(network) + hop + self.fabric(gpu, |reach| gpu.fabric.farthest(reach))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::Accelerators;

    #[test]
    fn local_groups_use_the_link_and_far_ones_the_network() {
        let known = Accelerators::published();
        let h100 = known.find("h100").unwrap();
        let c = Constants::PRIOR;
        let tensor = Group { ranks: 8, stride: 1 };
        assert_eq!(tensor.rate(h100, &c), h100.nvlink * c.nvlink);
        let data = Group { ranks: 64, stride: 8 };
        assert_eq!(data.rate(h100, &c), h100.nic * c.network);
        // With all eight ranks of a machine in one ring, its eight interfaces serve it.
        let wide = Group { ranks: 64, stride: 1 };
        assert_eq!(
            wide.rate(h100, &c).0,
            (h100.nic * c.network * 8.0).min(h100.nvlink * c.nvlink).0
        );
        // Beyond a pod the ring takes longer at each border, never less.
        let far = Group { ranks: 4096, stride: 8 };
        let mut flat = h100.clone();
        flat.fabric = crate::fabric::Fabric::flat();
        let whole = Bytes(1e9);
        assert!(far.gather(whole, h100, &c) > far.gather(whole, &flat, &c));
        // Trees spare small sums the way around.
        let small = Bytes(1e4);
        assert!(far.all_reduce(small, h100, &c).0 < 0.1 * 2.0 * far.gather(small, h100, &c).0);
        assert_eq!(Group { ranks: 1, stride: 1 }.gather(Bytes(1e9), h100, &c), Seconds::ZERO);
    }
}
