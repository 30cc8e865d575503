//! Parameters of published models and of small ones with unusual settings, to the last one as
//! `transformers` builds them on the meta device (golden values by
//! `xtask/oracle/planner/golden_parameters.py`), and as papers print them.

use std::collections::BTreeMap;

use serde_json::Value;
use stoa_planner::hugging_face::{self, Families};
use stoa_planner::model::Models;

const GOLDEN: &str = include_str!("golden/parameters.json");

fn rows() -> Vec<Value> {
    let golden: Value = serde_json::from_str(GOLDEN).expect("golden values");
    golden["rows"].as_array().expect("rows").clone()
}

#[test]
fn counts_are_those_of_transformers_to_the_last_parameter() {
    let models = Models::published();
    let (mut wrong, mut families) = (Vec::new(), BTreeMap::new());
    for row in rows() {
        let name = row["name"].as_str().expect("a name");
        let shape = match row.get("config") {
            Some(config) => match hugging_face::read(&config.to_string(), name) {
                Ok(read) => read.shape,
                Err(error) => {
                    wrong.push(format!("{name}: {error}"));
                    continue;
                }
            },
            None => models.find(name).expect("a preset").clone(),
        };
        let counted = shape.counted.expect("a config is counted");
        let golden = [&row["total"], &row["active"]].map(|n| n.as_u64().expect("a number"));
        if [counted.total, counted.active] != golden {
            wrong.push(format!("{name}: {counted:?}, {golden:?} by transformers"));
        }
        *families.entry(name.split(['-', '.']).next().unwrap_or(name).to_owned()).or_insert(0) += 1;
        // What the model of time multiplies by is the count but for norms, biases and tables of
        // positions; the embedding of OPT 350M is half as wide as its blocks.
        let share = (shape.matrix_params() - shape.extra_params()) / counted.total as f64;
        if !((0.97..=1.0).contains(&share) || counted.total < 400_000_000) {
            wrong.push(format!("{name}: products with {share} of the count"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows().len() >= 100 && families.len() >= 25, "{families:?}");
}

#[test]
fn active_counts_are_those_of_the_papers() {
    // In billions, as printed: Mixtral arXiv:2401.04088, DBRX (blog of 2024-03), DeepSeek arXiv:2405.04434
    // and 2412.19437, Qwen3 arXiv:2505.09388, gpt-oss model card of 2025-08, OLMoE arXiv:2409.02060,
    // Llama 4 (model card), Kimi K2 arXiv:2507.20534, Qwen1.5-MoE (blog of 2024-03).
    for (name, total, active) in [
        ("mixtral-8x7b", 46.7, 12.9),
        ("mixtral-8x22b", 141.0, 39.0),
        ("dbrx", 132.0, 36.0),
        ("deepseek-v2", 236.0, 21.0),
        ("deepseek-v3", 671.0, 37.0),
        ("qwen3-30b-a3b", 30.5, 3.3),
        ("qwen3-235b-a22b", 235.0, 22.0),
        ("gpt-oss-120b", 116.83, 5.13),
        ("gpt-oss-20b", 20.91, 3.61),
        ("olmoe-1b-7b", 6.9, 1.3),
        ("llama-4-scout", 109.0, 17.0),
        ("kimi-k2", 1040.0, 32.0),
        ("qwen1.5-moe-a2.7b", 14.3, 2.7),
    ] {
        let models = Models::published();
        let shape = models.find(name).expect("a preset");
        // Papers round to two or three digits; Kimi K2 and Llama 4 also count what is not built here.
        let close = |ours: f64, printed: f64| (ours / 1e9 / printed - 1.0).abs() < 0.03;
        let (ours, ours_active) = (shape.params(), shape.active_params());
        assert!(close(ours, total) && close(ours_active, active), "{name}: {ours} {ours_active}");
    }
}

#[test]
fn whatever_a_field_holds_it_is_read_or_refused() {
    let values = [
        serde_json::json!(null),
        serde_json::json!(true),
        serde_json::json!(0),
        serde_json::json!(-3),
        serde_json::json!(2.5),
        serde_json::json!(1_073_741_824_u64),
        serde_json::json!(u64::MAX),
        serde_json::json!("words"),
        serde_json::json!([]),
        serde_json::json!([1, "two"]),
        serde_json::json!({ "deeper": {} }),
    ];
    let families = Families::published();
    let (mut accepted, mut refused) = (0, 0);
    for row in rows() {
        let Some(config) = row.get("config").and_then(Value::as_object) else { continue };
        for key in config.keys() {
            for value in &values {
                let mut changed = config.clone();
                changed.insert(key.clone(), value.clone());
                let text = Value::Object(changed).to_string();
                match hugging_face::read_as(&families, &text, "changed.json") {
                    Ok(read) => {
                        accepted += 1;
                        assert!(
                            read.shape.params().is_finite() && read.shape.matrix_params() > 0.0
                        );
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(!error.to_string().is_empty());
                    }
                }
            }
        }
    }
    assert!(accepted > 100 && refused > 1000, "{accepted} {refused}");
}
