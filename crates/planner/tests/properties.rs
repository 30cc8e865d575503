//! Properties of the cost model that hold for any job: more bandwidth is never slower, parameters
//! are conserved across shards, layouts make up the cluster, the same question has the same answer.

use proptest::prelude::*;
use stoa_planner::calibration::{Calibration, Constants};
use stoa_planner::fabric;
use stoa_planner::hardware::{Accelerators, Gpu, Precision};
use stoa_planner::layout::{AskedLayout, Layout, Recompute, Sharding};
use stoa_planner::memory::memory;
use stoa_planner::model::{ModelShape, Models};
use stoa_planner::plan::{Given, Knowledge, Question, answer, resolve};
use stoa_planner::report::{Language, html};
use stoa_planner::search::{Search, search};
use stoa_planner::software::{self, Software};
use stoa_planner::time::{Job, Totals, step_time, timeline};

const MODELS: &[&str] =
    &["llama-8b", "llama-70b", "llama-405b", "gpt3-175b", "deepseek-v3", "qwen3-235b-a22b"];
const GPUS: &[&str] = &["a100", "h100", "h800", "h200", "b200", "gb200", "gb300", "mi300x"];

#[derive(Clone, Debug)]
struct Setting {
    model: ModelShape,
    gpu: Gpu,
    software: Software,
    layout: Layout,
    seq: usize,
    global_batch: usize,
    precision: Precision,
}

impl Setting {
    fn job(&self) -> Job<'_> {
        self.on(&self.gpu)
    }

    fn on<'a>(&'a self, gpu: &'a Gpu) -> Job<'a> {
        Job {
            model: &self.model,
            gpu,
            software: &self.software,
            layout: self.layout,
            seq: self.seq,
            global_batch: self.global_batch,
            precision: self.precision,
        }
    }
}

fn settings() -> impl Strategy<Value = Setting> {
    let sizes = (0..4_u32, 0..4_u32, 0..3_u32, 0..6_u32, 0..4_u32, 0..3_u32);
    let choices = (0..MODELS.len(), 0..GPUS.len(), 0..13_usize, 0..4_usize, 0..3_usize, 0..4_usize);
    (sizes, choices, 1..5_usize).prop_map(|(sizes, choices, more)| {
        let (tp, pp, cp, dp, ep, micro) = sizes;
        let (model, gpu, program, sharding, recompute, precision) = choices;
        let model = Models::published().find(MODELS[model]).expect("known").clone();
        let [tp, pp, cp, dp, ep] = [tp, pp, cp, dp, ep].map(|power| 1_usize << power);
        let ranks = tp * cp * dp;
        let ep = if model.experts.is_some() { ep.min(ranks) } else { 1 };
        let layout = Layout {
            tp,
            pp,
            vpp: if pp > 1 { more } else { 1 },
            dp,
            cp,
            ep,
            sharding: [Sharding::None, Sharding::Optimizer, Sharding::Gradients, Sharding::Full]
                [sharding],
            recompute: [Recompute::None, Recompute::Selective, Recompute::Full][recompute],
            micro_batch: 1 << micro,
        };
        let programs = software::published();
        Setting {
            gpu: Accelerators::published().find(GPUS[gpu]).expect("known").clone(),
            software: programs[program % programs.len()].clone(),
            seq: 2048 << (precision % 3),
            global_batch: layout.dp * layout.micro_batch * layout.pp * more,
            precision: [Precision::Bf16, Precision::Fp16, Precision::Fp8, Precision::Fp4]
                [precision],
            layout,
            model,
        }
    })
}

proptest! {
    #[test]
    fn more_bandwidth_or_arithmetic_is_never_slower(setting in settings(), factor in 1.0..8.0_f64) {
        for constants in [Constants::PRIOR, Calibration::published().constants] {
            let before = step_time(&setting.job(), &constants).total();
            prop_assert!(before.0.is_finite() && before.0 > 0.0);
            let changes: [(&str, fn(&mut Gpu, f64)); 4] = [
                ("network", |gpu, f| gpu.nic = gpu.nic * f),
                ("link", |gpu, f| gpu.nvlink = gpu.nvlink * f),
                ("memory", |gpu, f| gpu.hbm = gpu.hbm * f),
                ("arithmetic", |gpu, f| {
                    gpu.bf16 = gpu.bf16 * f;
                    gpu.gemm_bf16 = gpu.gemm_bf16 * f;
                    gpu.fp8 = gpu.fp8.map(|rate| rate * f);
                    gpu.fp4 = gpu.fp4.map(|rate| rate * f);
                }),
            ];
            for (what, change) in changes {
                let mut gpu = setting.gpu.clone();
                change(&mut gpu, factor);
                let after = step_time(&setting.on(&gpu), &constants).total();
                // A few units in the last place of sums of a dozen terms.
                prop_assert!(after.0 <= before.0 * (1.0 + 1e-12), "{what}: {before:?} {after:?}");
            }
        }
    }

    #[test]
    fn a_better_network_beyond_the_machine_is_never_slower(
        setting in settings(),
        which in 0..4_usize,
        relief in 0.0..1.0_f64,
    ) {
        let constants = Calibration::published().constants;
        let mut gpu = setting.gpu.clone();
        gpu.fabric = fabric::published().swap_remove(which);
        let before = step_time(&setting.on(&gpu), &constants).total();
        prop_assert!(before.0.is_finite() && before.0 > 0.0);
        let after = |change: &dyn Fn(&mut fabric::Tier)| {
            let mut better = gpu.clone();
            better.fabric.tiers.iter_mut().for_each(change);
            step_time(&setting.on(&better), &constants).total().0
        };
        let changes: [(&str, f64); 4] = [
            ("oversubscription", after(&|tier| {
                tier.oversubscription = 1.0 + (tier.oversubscription - 1.0) * relief;
            })),
            ("latency", after(&|tier| tier.latency_us *= relief)),
            ("network", {
                let faster = Gpu { nic: gpu.nic * (1.0 + relief), ..gpu.clone() };
                step_time(&setting.on(&faster), &constants).total().0
            }),
            ("no fabric at all", {
                let flat = Gpu { fabric: fabric::Fabric::flat(), ..gpu.clone() };
                step_time(&setting.on(&flat), &constants).total().0
            }),
        ];
        for (what, time) in changes {
            prop_assert!(time <= before.0 * (1.0 + 1e-12), "{what}: {before:?} {time}");
        }
    }

    #[test]
    fn every_stage_of_the_timeline_ends_with_the_step(setting in settings()) {
        let constants = Calibration::published().constants;
        let job = setting.job();
        let step = step_time(&job, &constants).total().0;
        let timeline = timeline(&job, &constants);
        prop_assert!((timeline.totals.total().0 / step - 1.0).abs() < 1e-9, "{timeline:?}");
        let Totals { forward, backward, .. } = timeline.totals;
        prop_assert!(forward.0 > 0.0 && backward > forward);
        prop_assert_eq!(timeline.lanes.len(), setting.layout.pp.min(16));
        for lane in &timeline.lanes {
            let mut now = 0.0;
            for span in &lane.spans {
                prop_assert!((span.start_seconds.0 - now).abs() < 1e-9 * step);
                prop_assert!(span.seconds.0 > 0.0);
                now += span.seconds.0;
            }
            prop_assert!((now / step - 1.0).abs() < 1e-9, "stage {}: {now} of {step}", lane.stage);
        }
    }

    #[test]
    fn parameters_are_conserved_across_shards(setting in settings()) {
        let (model, layout) = (&setting.model, &setting.layout);
        let layers = model.layers + model.extra_layers;
        prop_assume!(layers.is_multiple_of(layout.pp));
        let (dense, experts) = setting.job().rank_params();
        // Each dense shard is held by one of tp × pp ranks, each expert by one of ep × pp. Middle
        // stages hold no table: two tables over tp ranks, counted in half by rank_params.
        let tables = model.embedding_params() * if layout.pp > 1 { 0.5 } else { 1.0 };
        let blocks = dense * layout.tp as f64 - tables;
        let whole = blocks * layout.pp as f64
            + experts * (layout.ep * layout.pp) as f64
            + model.embedding_params();
        prop_assert!((whole / model.matrix_params() - 1.0).abs() < 1e-9, "{whole} {model:?}");
    }

    #[test]
    fn parts_add_up_and_sharding_never_needs_more(setting in settings()) {
        let job = setting.job();
        let parts = step_time(&job, &Constants::PRIOR);
        let sum: f64 = parts.parts().iter().map(|part| part.1.0).sum();
        prop_assert!((sum - parts.total().0).abs() <= 1e-12 * sum);
        prop_assert!(parts.parts().iter().all(|part| part.1.0 >= -1e-9 * sum), "{parts:?}");
        let with = |sharding| {
            let layout = Layout { sharding, ..setting.layout };
            memory(&Job { layout, ..job }).total()
        };
        prop_assert!(with(Sharding::Optimizer) <= with(Sharding::None));
        prop_assert!(with(Sharding::Gradients) <= with(Sharding::Optimizer));
        let kept = |recompute| {
            let layout = Layout { recompute, ..setting.layout };
            memory(&Job { layout, ..job }).activations
        };
        prop_assert!(kept(Recompute::Full) <= kept(Recompute::None));
    }
}

#[test]
fn every_layout_found_makes_up_the_cluster_and_passes_its_own_check() {
    let models = Models::published();
    let known = Accelerators::published();
    let programs = software::published();
    let cases =
        [("llama-70b", "h100", 512), ("deepseek-v3", "gb200", 576), ("llama-8b", "a100", 24)];
    for (model, gpu, gpus) in cases {
        let model = models.find(model).unwrap();
        let space = Search {
            model,
            gpu: known.find(gpu).unwrap(),
            software: &software::find(&programs, ""),
            gpus,
            seq: 4096,
            global_batch: 2048,
            batch_may_move: true,
            precision: Precision::Bf16,
            asked: AskedLayout::default(),
        };
        let found = search(&space, &Calibration::published()).unwrap();
        assert!(!found.candidates.is_empty());
        for c in &found.candidates {
            assert_eq!(c.layout.gpus(), gpus);
            c.layout.check(model, gpus, c.global_batch).unwrap();
            assert!(c.headroom.0 >= 0.0 && c.mfu > 0.0 && c.mfu < 1.0, "{c:?}");
        }
    }
}

#[test]
fn the_same_question_has_the_same_bytes() {
    let known = Knowledge::published();
    let question = Question {
        model: Some("llama-70b".to_owned()),
        gpus: Some("1024:h100".to_owned()),
        tokens: Some("2T".to_owned()),
        ..Question::default()
    };
    let make = || {
        let plan = answer(&resolve(&question, &Given::default(), &known).unwrap(), &known).unwrap();
        let pages = [Language::English, Language::French].map(|l| html(&plan, l));
        (serde_json::to_string(&plan).unwrap(), pages)
    };
    let (json, pages) = make();
    assert_eq!((json, pages.clone()), make());
    for (page, word) in pages.iter().zip(["Timeline of a step", "Chronologie d&#39;un pas"]) {
        assert!(page.contains(word) && !page.contains("<script") && !page.contains("http"));
        assert_eq!(page.matches("<desc").count(), page.matches("<svg").count());
    }
}

#[test]
fn impossible_questions_are_explained_with_the_nearest_possible() {
    let known = Knowledge::published();
    let ask = |change: &dyn Fn(&mut Question)| {
        let mut question = Question {
            model: Some("llama-70b".to_owned()),
            gpus: Some("256:h100".to_owned()),
            tokens: Some("1T".to_owned()),
            ..Question::default()
        };
        change(&mut question);
        let made =
            resolve(&question, &Given::default(), &known).and_then(|asked| answer(&asked, &known));
        made.expect_err("impossible").to_string()
    };
    let text = |t: &str| Some(t.to_owned());
    let cases: [(String, &str); 19] = [
        (ask(&|q| q.gpus = text("256:h1000")), "nearest: h100"),
        (ask(&|q| q.model = text("lama-70b")), "nearest: llama-70b"),
        (ask(&|q| q.tokens = text("0")), "above 0"),
        (ask(&|q| q.gpus = text("0:h100")), "above 0"),
        (ask(&|q| q.gpus = text("1:h100")), "nearest possible"),
        (ask(&|q| q.layout = text("tp=8,pp=4,dp=9")), "nearest possible"),
        (ask(&|q| q.deadline = text("1d")), "nearest possible"),
        (ask(&|q| q.budget = text("1000$")), "tokens on the same cluster"),
        (ask(&|q| q.tokens = text("9e18")), "tokens in a year"),
        (ask(&|q| q.fabric = text("meta-roc")), "nearest: meta-roce"),
        (
            ask(&|q| {
                (q.tokens, q.gpus) = (None, None);
                q.budget = text("50$");
            }),
            "a model of about",
        ),
        (
            ask(&|q| {
                (q.model, q.tokens, q.gpus) = (None, None, None);
                q.budget = text("0.001$");
            }),
            "nearest possible: about $",
        ),
        (
            ask(&|q| {
                q.gpus = text("256:a100");
                q.precision = text("fp8");
            }),
            "precision bf16",
        ),
        (
            ask(&|q| {
                q.gpus = text("256:v100");
                q.precision = text("bf16");
            }),
            "precision fp16",
        ),
        (
            ask(&|q| {
                q.gpus = text("256:tpu-v4");
                q.precision = text("fp16");
            }),
            "precision bf16",
        ),
        (
            ask(&|q| {
                q.gpus = text("256:h200");
                q.precision = text("fp4");
            }),
            "precision fp8",
        ),
        (ask(&|q| q.software = text("megatron-cor")), "nearest: megatron-core"),
        (ask(&|q| q.gpus = text("h100:256")), "N:TYPE, as 256:h100"),
        (ask(&|q| q.gpus = text("4090")), "1:rtx-4090"),
    ];
    for (message, word) in cases {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn without_a_format_a_device_takes_one_that_it_has() {
    for (gpus, format) in
        [("64:v100", Precision::Fp16), ("64:t4", Precision::Fp16), ("64:tpu-v5p", Precision::Bf16)]
    {
        let plan = settled(&|q| {
            q.model = Some("350m".to_owned());
            q.gpus = Some(gpus.to_owned());
            q.tokens = Some("7B".to_owned());
            q.seq = Some(1024);
        });
        assert_eq!(plan.precision, format, "{gpus}");
        let listed: Vec<String> = plan.assumptions.iter().map(ToString::to_string).collect();
        assert!(listed.iter().any(|line| line.starts_with(format.name())), "{listed:?}");
    }
}

#[test]
fn a_layout_given_in_part_is_kept_and_the_rest_is_chosen_among_what_fits() {
    let ask = |layout: &str| {
        settled(&|q| {
            q.model = Some("llama-405b".to_owned());
            q.gpus = Some("16384:h100".to_owned());
            q.tokens = Some("15.6T".to_owned());
            q.batch = Some("16M".to_owned());
            q.layout = Some(layout.to_owned());
        })
    };
    let free = ask("tp=8");
    let plan = ask("tp=8,pp=16,dp=128");
    let layout = plan.best.layout;
    assert_eq!((layout.tp, layout.pp, layout.dp, layout.cp), (8, 16, 128, 1));
    assert!(plan.best.is_certain() && free.best.is_certain());
    assert!(free.best.tokens_per_second >= plan.best.tokens_per_second);
    let listed: Vec<String> = plan.assumptions.iter().map(ToString::to_string).collect();
    let line = listed.iter().find(|line| line.starts_with("layout given in part")).expect("listed");
    for word in ["vpp=", "cp=1", "micro=", "sharding=", "recompute="] {
        assert!(line.contains(word), "{line}");
    }
    assert!(!line.contains("tp=") && !line.contains("dp="), "{line}");
    assert!(listed.iter().any(|line| line.contains("sequences in place of 1953")), "{listed:?}");
    // What optimizer sharding cannot hold is held by sharing more.
    let lean = ask("tp=8,pp=16,dp=128,recompute=none");
    assert_eq!(lean.best.layout.sharding, Sharding::Gradients);
    // Said in whole, a layout is taken as it is, with how likely it fits.
    let whole = ask("tp=8,pp=16,vpp=8,dp=128,cp=1,ep=1,micro=1,sharding=gradients,recompute=none");
    assert!(whole.best.fits_probability > 0.5 && !whole.best.is_certain(), "{:?}", whole.best);
    let listed: Vec<String> = whole.assumptions.iter().map(ToString::to_string).collect();
    assert!(listed.iter().any(|line| line.contains("95 % probability")), "{listed:?}");
    assert!(!listed.iter().any(|line| line.contains("given in part")), "{listed:?}");
}

#[test]
fn what_is_said_not_to_fit_does_not_fit_in_any_variant() {
    let known = Knowledge::published();
    let ask = |gpus: &str, layout: &str| {
        let question = Question {
            model: Some("llama-70b".to_owned()),
            gpus: Some(gpus.to_owned()),
            tokens: Some("1T".to_owned()),
            batch: Some("2M".to_owned()),
            layout: Some(layout.to_owned()),
            ..Question::default()
        };
        resolve(&question, &Given::default(), &known).and_then(|asked| answer(&asked, &known))
    };
    let error = ask("64:h100", "tp=1,pp=1,recompute=none,sharding=none").unwrap_err().to_string();
    assert!(error.contains("does not fit") && error.contains("nearest possible: tp "), "{error}");
    // The layout it offers fits.
    assert!(ask("64:h100", "tp=8").is_ok());
    for (layout, word) in [
        ("tp=3", "tp·pp·cp·dp"),
        ("tp=8,dp=9", "tp·pp·cp·dp"),
        ("tp=8,micro=0", "at least 1"),
        ("ep=4", "dense"),
        ("pp=1,vpp=4", "interleaving"),
    ] {
        let error = ask("64:h100", layout).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("nearest possible"), "{layout}: {error}");
    }
}

/// What a question with open sizes settles on: parameters, tokens, devices, days, rent.
fn settled(change: &dyn Fn(&mut Question)) -> stoa_planner::plan::Plan {
    let known = Knowledge::published();
    let mut question = Question::default();
    change(&mut question);
    let asked = resolve(&question, &Given::default(), &known).expect("a question");
    answer(&asked, &known).expect("an answer")
}

#[test]
fn a_budget_alone_is_spent_on_what_it_trains_best() {
    let plan = settled(&|q| q.budget = Some("100M$".to_owned()));
    let rent = plan.bill.rent.median;
    assert!((0.9e8..=1.001e8).contains(&rent), "{rent}");
    assert!((15.0..30.0).contains(&plan.forecast.tokens_per_param), "{:?}", plan.forecast);
    // Within the usual quarter of a year, but for the rounding of the cluster.
    assert!((30.0..95.0).contains(&plan.days[1]), "{:?}", plan.days);
    let listed: Vec<String> = plan.assumptions.iter().map(ToString::to_string).collect();
    for word in ["model not given", "the budget affords", "number of devices not given"] {
        assert!(listed.iter().any(|s| s.contains(word)), "{listed:?}");
    }
    // Over-trained models are smaller and lose a little; faster devices are offered too.
    let over = plan.alternatives.iter().find(|a| a.tokens_per_param > 80.0).expect("over-trained");
    assert!(over.params < 0.6 * plan.params && over.loss[1].1 > plan.forecast.loss[1].1);
    assert!(plan.alternatives.iter().any(|a| a.gpu == "b200"));
    let small = settled(&|q| {
        q.budget = Some("100M$".to_owned());
        q.over_training = Some(20.0);
    });
    assert!((300.0..550.0).contains(&small.forecast.tokens_per_param), "{:?}", small.forecast);
    assert!(small.params < 0.4 * plan.params);
}

#[test]
fn a_deadline_alone_takes_a_usual_cluster_and_shows_others() {
    let plan = settled(&|q| q.deadline = Some("60d".to_owned()));
    assert_eq!(plan.gpus, 1024);
    assert!((50.0..=60.0).contains(&plan.days[1]), "{:?}", plan.days);
    let sizes: Vec<usize> = plan.alternatives.iter().map(|a| a.gpus).collect();
    assert!(sizes.contains(&256) && sizes.contains(&16_384), "{sizes:?}");
    // Four times the devices: twice the model.
    let larger = plan.alternatives.iter().find(|a| a.gpus == 4096).expect("4,096");
    assert!((1.5..2.6).contains(&(larger.params / plan.params)), "{larger:?}");
}

#[test]
fn a_model_and_a_budget_find_tokens_and_devices() {
    // A small model on a large budget is trained long, on as many devices as end in time.
    let plan = settled(&|q| {
        q.model = Some("llama-8b".to_owned());
        q.budget = Some("5M$".to_owned());
    });
    assert!((4.5e6..=5.005e6).contains(&plan.bill.rent.median), "{:?}", plan.bill.rent);
    assert!(plan.days[1] < 95.0 && plan.gpus > 256, "{} {:?}", plan.gpus, plan.days);
    assert!(plan.forecast.tokens_per_param > 100.0);
}
