//! Changing one thing at a time: reads `key = value` lines, answers with what it does to time,
//! money and layout. Ends with an empty line or the end of input.

use std::io::{BufRead, Write};

use stoa_planner::plan::{Given, Knowledge, Plan, Question};
use stoa_planner::units::{Scale, Seconds};

/// Asks for changes until there are none; `given` is what files hold: a device, and the model of a
/// run file until another is named.
///
/// # Errors
/// When standard output is closed.
pub fn run(
    mut question: Question,
    given: &Given,
    mut plan: Plan,
    known: &Knowledge,
) -> anyhow::Result<()> {
    let mut out = crate::terminal::stdout();
    writeln!(
        out,
        "\nWhat if? Write for example `gpus = 8192:h200` or `precision = fp8`; empty ends."
    )?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        match changed(&question, line).and_then(|q| Ok((super::make(&q, given, known)?, q))) {
            Ok((next, asked)) => {
                writeln!(out, "{}", compare(&plan, &next))?;
                (question, plan) = (asked, next);
            }
            Err(error) => writeln!(out, "  {error:#}")?,
        }
        out.flush()?;
    }
    Ok(())
}

/// The question with one key changed; values need no quotes.
fn changed(question: &Question, line: &str) -> anyhow::Result<Question> {
    let (key, value) = line
        .split_once('=')
        .ok_or_else(|| anyhow::anyhow!("write a key and a value, as gpus = 8192:h200"))?;
    let (key, value) = (key.trim(), value.trim().trim_matches('"'));
    let quoted = format!("{key} = {}", toml_string(value));
    let plain = format!("{key} = {value}");
    // Numbers stand bare; everything else is text.
    let over = Question::from_toml(&plain, "what if")
        .or_else(|_| Question::from_toml(&quoted, "what if"))?;
    Ok(question.clone().overridden_by(over))
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn compare(before: &Plan, after: &Plan) -> String {
    let change = |name: &str, a: f64, b: f64, scale: Scale| {
        let (before, after) = (scale.number(a), scale.number(b));
        let percent = 100.0 * (b / a - 1.0);
        format!("  {name:<10} {before:>10} → {after:>10} {}  ({percent:+.0} %)\n", scale.unit)
    };
    let days = [before, after].map(|plan| Seconds::days(plan.days[1]));
    let mut text = change("time", days[0].0, days[1].0, Scale::time(days[0]));
    let money = |name: &str, a: f64, b: f64| change(name, a, b, Scale::dollars(a));
    text += &money("rent", before.bill.rent.median, after.bill.rent.median);
    text += &money("owned", before.bill.owned.median, after.bill.owned.median);
    let share = Scale { one: 0.01, unit: "%" };
    text += &change("MFU", before.best.mfu, after.best.mfu, share);
    text += &format!("  layout     {}", after.best.layout);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_changed_and_others_stay() {
        let question = Question { gpus: Some("8:h100".to_owned()), ..Question::default() };
        let next = changed(&question, "seq = 4096").unwrap();
        assert_eq!((next.seq, next.gpus.as_deref()), (Some(4096), Some("8:h100")));
        let next = changed(&question, "gpus = 16:h200").unwrap();
        assert_eq!(next.gpus.as_deref(), Some("16:h200"));
        assert!(changed(&question, "colour = red").is_err());
        assert!(changed(&question, "faster").is_err());
    }
}
