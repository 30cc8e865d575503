//! The bill of a run by Monte Carlo over the ranges: bought hardware written off over its life and
//! the time it is held, or rent by the hour; energy of machines and site. Deterministic in its seed.

use serde::Serialize;

use super::prices::{Prices, Range};
use crate::calibration::quantile;
use crate::hardware::Gpu;
use crate::units::{Dollars, Joules, Seconds, Watts};
use stoa_random::Draws;

/// A run to be paid.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// Device.
    pub gpu: &'a Gpu,
    /// Devices, spares included.
    pub gpus: usize,
    /// Mean power of a device.
    pub gpu_power: Watts,
    /// Wall time, best estimate.
    pub wall: Seconds,
    /// Half the width of its 90 % interval, in the logarithm.
    pub wall_half_width: f64,
    /// Rent by the device-hour, when given.
    pub rent: Option<f64>,
}

/// An estimate with its 90 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Interval {
    /// 5 % lie below.
    pub low: f64,
    /// Half lie below.
    pub median: f64,
    /// 5 % lie above.
    pub high: f64,
}

/// How far one input moves the answer over its own range, the others in their middle.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// Input.
    pub input: String,
    /// Bill at its low end.
    pub at_low: f64,
    /// Bill at its high end.
    pub at_high: f64,
}

/// What a run costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Bill {
    /// Device-hours, millions not: plain.
    pub gpu_hours: Interval,
    /// Rent of the devices for the run.
    pub rent: Interval,
    /// Price of the cluster, if it were bought for this run alone.
    pub cluster_price: Interval,
    /// Share of that price, of upkeep and site that the run's time uses up.
    pub owned_share: Interval,
    /// Electricity of the run.
    pub electricity: Interval,
    /// Owned share and electricity together: what the run costs an owner.
    pub owned: Interval,
    /// Energy, in megawatt-hours, site included.
    pub energy_mwh: Interval,
    /// Mean power of the site, in megawatts.
    pub power_mw: Interval,
    /// Parts of the owner's cost at middle prices, in dollars.
    pub parts: Vec<(String, f64)>,
    /// What moves the owner's cost, the most first.
    pub moves_owned: Vec<Sensitivity>,
    /// What moves the rent, the most first.
    pub moves_rent: Vec<Sensitivity>,
}

/// Values of all inputs at once.
#[derive(Clone, Copy, Debug)]
struct Draw {
    accelerator: f64,
    servers: f64,
    network: f64,
    site: f64,
    electricity: f64,
    pue: f64,
    host_power: f64,
    life_years: f64,
    upkeep: f64,
    wall: f64,
    rent: f64,
}

/// What a draw comes to.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    gpu_hours: f64,
    rent: f64,
    cluster_price: f64,
    hardware: f64,
    site: f64,
    upkeep: f64,
    electricity: f64,
    energy: Joules,
    power: Watts,
}

impl Outcome {
    fn owned_share(&self) -> f64 {
        self.hardware + self.site + self.upkeep
    }

    fn owned(&self) -> f64 {
        self.owned_share() + self.electricity
    }
}

/// Years over which a site is written off: buildings outlive machines.
const SITE_YEARS: f64 = 15.0;

const DRAWS: usize = 4000;

/// Draws the bill of a run.
pub fn bill(run: &Run, prices: &Prices, seed: u64) -> Bill {
    let mut random = Draws::numbered(seed, 0xB111);
    let inputs = Inputs::new(run, prices);
    let outcomes: Vec<Outcome> =
        (0..DRAWS).map(|_| outcome(run, &inputs.draw(&mut random))).collect();
    let interval = |value: &dyn Fn(&Outcome) -> f64| {
        let mut values: Vec<f64> = outcomes.iter().map(value).collect();
        let mut at = |share| quantile(&mut values, share).unwrap_or(0.0);
        Interval { low: at(0.05), median: at(0.5), high: at(0.95) }
    };
    let middle = outcome(run, &inputs.middle());
    Bill {
        gpu_hours: interval(&|o| o.gpu_hours),
        rent: interval(&|o| o.rent),
        cluster_price: interval(&|o| o.cluster_price),
        owned_share: interval(&Outcome::owned_share),
        electricity: interval(&|o| o.electricity),
        owned: interval(&Outcome::owned),
        energy_mwh: interval(&|o| o.energy.as_mwh()),
        power_mw: interval(&|o| o.power.0 / 1e6),
        parts: vec![
            ("servers and network".to_owned(), middle.hardware),
            ("site".to_owned(), middle.site),
            ("upkeep".to_owned(), middle.upkeep),
            ("electricity".to_owned(), middle.electricity),
        ],
        moves_owned: inputs.sensitivity(run, Outcome::owned, "rent of a device-hour"),
        moves_rent: inputs.sensitivity(run, |o| o.rent, ""),
    }
}

fn outcome(run: &Run, draw: &Draw) -> Outcome {
    let gpus = run.gpus as f64;
    let listed = f64::midpoint(run.gpu.price.0, run.gpu.price.1);
    let wall = Seconds(draw.wall);
    let years = wall.as_days() / 365.25;
    let cluster_price = gpus * listed * draw.accelerator * draw.servers * draw.network;
    // Capacity is built for the board's full power, energy is what the run draws.
    let capacity = run.gpu.power * (gpus * draw.host_power * draw.pue);
    let host = run.gpu.power * (gpus * (draw.host_power - 1.0));
    let power = (run.gpu_power * gpus + host) * draw.pue;
    let energy = power * wall;
    Outcome {
        gpu_hours: gpus * wall.as_hours(),
        rent: gpus * wall.as_hours() * draw.rent,
        cluster_price,
        hardware: cluster_price * years / draw.life_years,
        site: capacity.0 * draw.site * years / SITE_YEARS,
        upkeep: cluster_price * draw.upkeep * years,
        electricity: energy.as_mwh() * 1000.0 * draw.electricity,
        energy,
        power,
    }
}

struct Inputs {
    ranges: Vec<(&'static str, Range)>,
}

impl Inputs {
    fn new(run: &Run, prices: &Prices) -> Self {
        let widened = |low: f64, high: f64, what: &str| Range {
            low,
            high,
            what: what.to_owned(),
            source: "this plan".to_owned(),
            date: "-".to_owned(),
            checked: "derived".to_owned(),
        };
        let wall = widened(
            run.wall.0 * (-run.wall_half_width).exp(),
            run.wall.0 * run.wall_half_width.exp(),
            "duration",
        );
        let rent = match run.rent {
            Some(rent) => Range::exactly(rent, "rent"),
            None => widened(run.gpu.rent.0, run.gpu.rent.1, "rent"),
        };
        let ranges = vec![
            ("accelerator price", prices.accelerator.clone()),
            ("server over accelerators", prices.servers.clone()),
            ("cluster network", prices.network.clone()),
            ("site, dollars a watt", prices.site.clone()),
            ("electricity price", prices.electricity.clone()),
            ("site power over machine power", prices.pue.clone()),
            ("server power over accelerators", prices.host_power.clone()),
            ("years of use", prices.life_years.clone()),
            ("upkeep", prices.upkeep.clone()),
            ("duration of the run", wall),
            ("rent of a device-hour", rent),
        ];
        Inputs { ranges }
    }

    fn assemble(values: &[f64]) -> Draw {
        let mut values = values.iter().copied();
        let mut next = || values.next().expect("one value for each input");
        Draw {
            accelerator: next(),
            servers: next(),
            network: next(),
            site: next(),
            electricity: next(),
            pue: next(),
            host_power: next(),
            life_years: next(),
            upkeep: next(),
            wall: next(),
            rent: next(),
        }
    }

    fn draw(&self, random: &mut Draws) -> Draw {
        let values: Vec<f64> = self.ranges.iter().map(|(_, range)| range.draw(random)).collect();
        Self::assemble(&values)
    }

    fn middles(&self) -> Vec<f64> {
        self.ranges.iter().map(|(_, range)| range.middle()).collect()
    }

    fn middle(&self) -> Draw {
        Self::assemble(&self.middles())
    }

    fn sensitivity(
        &self,
        run: &Run,
        value: impl Fn(&Outcome) -> f64,
        without: &str,
    ) -> Vec<Sensitivity> {
        let middles = self.middles();
        let at = |index: usize, end: f64| {
            let mut values = middles.clone();
            values[index] = end;
            value(&outcome(run, &Self::assemble(&values)))
        };
        let mut all: Vec<Sensitivity> = self
            .ranges
            .iter()
            .enumerate()
            .filter(|(_, (name, _))| *name != without)
            .map(|(i, (name, range))| Sensitivity {
                input: (*name).to_owned(),
                at_low: at(i, range.low),
                at_high: at(i, range.high),
            })
            .filter(|s| s.at_low != s.at_high)
            .collect();
        let swing = |s: &Sensitivity| (s.at_high - s.at_low).abs();
        all.sort_by(|a, b| swing(b).total_cmp(&swing(a)));
        all
    }
}

impl Interval {
    /// In dollars, for people.
    pub fn dollars(&self) -> String {
        let show = |value| Dollars(value).to_string();
        format!("{} ({} to {})", show(self.median), show(self.low), show(self.high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::Accelerators;

    fn run(gpu: &Gpu) -> Run<'_> {
        Run {
            gpu,
            gpus: 2048,
            gpu_power: gpu.power * 0.8,
            wall: Seconds::hours(2.788e6 / 2048.0),
            wall_half_width: 0.0,
            rent: Some(2.0),
        }
    }

    #[test]
    fn deepseek_v3_at_two_dollars_costs_what_it_printed() {
        let known = Accelerators::published();
        let h800 = known.find("h800").unwrap();
        let bill = bill(&run(h800), &Prices::published(), 1);
        // 2.788 million hours at $2 (arXiv:2412.19437 table 1).
        assert!((bill.rent.median / 5.576e6 - 1.0).abs() < 1e-9, "{}", bill.rent.median);
        assert_eq!(bill.rent.low, bill.rent.high);
    }

    #[test]
    fn a_cluster_of_h100_costs_near_fifty_thousand_a_device() {
        let known = Accelerators::published();
        let h100 = known.find("h100").unwrap();
        let bill = bill(&run(h100), &Prices::published(), 1);
        let each = bill.cluster_price.median / 2048.0;
        assert!((40e3..62e3).contains(&each), "{each}");
        assert!(bill.owned.low < bill.owned.median && bill.owned.median < bill.owned.high);
        let sum: f64 = bill.parts.iter().map(|part| part.1).sum();
        assert!((sum / bill.owned.median - 1.0).abs() < 0.1, "{sum} {}", bill.owned.median);
        assert!(!bill.moves_owned.iter().any(|s| s.input.contains("rent")));
    }

    #[test]
    fn the_same_seed_is_the_same_bill() {
        let known = Accelerators::published();
        let h100 = known.find("h100").unwrap();
        assert_eq!(
            bill(&run(h100), &Prices::published(), 9),
            bill(&run(h100), &Prices::published(), 9)
        );
    }
}
