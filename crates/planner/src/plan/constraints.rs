//! Whether a plan meets its deadline and budget, and the nearest plan that would. Changes nothing.

use super::Plan;
use super::resolve::Resolved;
use crate::error::{PlanError, Result};
use crate::units::{Dollars, Seconds, count};

/// Days beyond which a run is refused: no machine lasts that long.
const MAX_DAYS: f64 = 36_525.0;

/// Refuses a run that takes longer than machines last, before its failures are simulated one by one.
///
/// # Errors
/// When it does: with the tokens that a year allows, and the devices that finish within a year.
pub(super) fn lasting(tokens: f64, gpus: usize, gpu: &str, ideal: Seconds) -> Result<()> {
    let days = ideal.as_days();
    if days <= MAX_DAYS {
        return Ok(());
    }
    Err(PlanError::Contradiction {
        demands: format!("{tokens:.2e} tokens on {gpus} × {gpu}"),
        reason: format!("the run takes {:.0} years", days / 365.25),
        nearest: format!(
            "{} tokens in a year, or a year on about {:.0} devices",
            count(tokens * 365.0 / days),
            (gpus as f64 * days / 365.0).ceil()
        ),
    })
}

/// Compares a plan with its deadline and budget.
///
/// # Errors
/// When one is exceeded: names the constraints that contradict each other, and the nearest possible plan.
pub(super) fn check(asked: &Resolved, plan: &Plan) -> Result<()> {
    if let Some(deadline) = asked.deadline.filter(|d| plan.days[1] > d.as_days()) {
        let gpus =
            (plan.gpus as f64 * plan.days[1] / deadline.as_days() / 0.95 / asked.gpu.node as f64)
                .ceil() as usize
                * asked.gpu.node;
        let tokens = plan.tokens * deadline.as_days() / plan.days[1];
        return Err(PlanError::Contradiction {
            demands: format!("{} × {} and a deadline of {deadline}", plan.gpus, plan.gpu),
            reason: format!("the run takes about {}", Seconds::days(plan.days[1])),
            nearest: format!(
                "{}, or about {gpus} devices, or {} tokens",
                Seconds::days(plan.days[1]),
                count(tokens)
            ),
        });
    }
    if let Some(budget) = asked.budget.filter(|b| plan.bill.rent.median > b.0 * 1.001) {
        let tokens = plan.tokens * budget.0 / plan.bill.rent.median;
        return Err(PlanError::Contradiction {
            demands: format!("{} tokens and a budget of {budget}", count(plan.tokens)),
            reason: format!("rent is about {}", plan.bill.rent.dollars()),
            nearest: format!(
                "{}, or {} tokens on the same cluster",
                Dollars(plan.bill.rent.median),
                count(tokens)
            ),
        });
    }
    Ok(())
}
