//! Models in GGUF files, written here as llama.cpp's converter writes them, are the models they were.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use stoa_gguf::{Array, GgufWriter, Metadata, Value};
use stoa_graph::{DType, Tensor};
use stoa_models::{
    Biases, Block, Family, GgufTypes, LanguageConfig, Mlp, MlpKind, Module, Norm, Parameter, Place,
    QkNorm, RopeScaling, SlidingWindow, StoredTypes, Weights, export_gguf, from_gguf, gguf_bytes,
    gguf_types, initialize, load_gguf, parameters, placed_parameters,
};

type Tensors = Vec<(String, Tensor)>;

const NAMES: [(Module, &str); 17] = [
    (Module::Embedding, "token_embd"),
    (Module::Positions, "position_embd"),
    (Module::InputNorm, "attn_norm"),
    (Module::Query, "attn_q"),
    (Module::Key, "attn_k"),
    (Module::Value, "attn_v"),
    (Module::QueryNorm, "attn_q_norm"),
    (Module::KeyNorm, "attn_k_norm"),
    (Module::Output, "attn_output"),
    (Module::AttentionPostNorm, "post_attention_norm"),
    (Module::MlpNorm, "ffn_norm"),
    (Module::Gate, "ffn_gate"),
    (Module::Up, "ffn_up"),
    (Module::Down, "ffn_down"),
    (Module::MlpPostNorm, "post_ffw_norm"),
    (Module::FinalNorm, "output_norm"),
    (Module::Head, "output"),
];

fn gguf_name(place: Place) -> String {
    let module = NAMES.iter().find(|(module, _)| *module == place.module).unwrap().1;
    let kind = if place.bias { "bias" } else { "weight" };
    place.layer.map_or(format!("{module}.{kind}"), |i| format!("blk.{i}.{module}.{kind}"))
}

/// The tensors of a model under the names of GGUF, changed by `change`.
fn tensors(
    config: &LanguageConfig,
    weights: &Weights,
    change: impl Fn(Place, &Tensor) -> Tensor,
) -> Tensors {
    let tensor =
        |(place, p): (Place, Parameter)| (gguf_name(place), change(place, &weights[&p.name]));
    placed_parameters(config).into_iter().map(tensor).collect()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.as_f32().unwrap().to_vec()
}

/// Row 2i + j of each head is row j·half + i.
fn side_by_side(place: Place, tensor: &Tensor, head_dim: usize) -> Tensor {
    if !matches!(place.module, Module::Query | Module::Key) {
        return tensor.clone();
    }
    let (rows, x) = (tensor.shape()[0], numbers(tensor));
    let width = x.len() / rows;
    let mut moved = vec![0.0; x.len()];
    for row in 0..rows {
        let (head, at) = (row / head_dim, row % head_dim);
        let from = head * head_dim + (at % 2) * head_dim / 2 + at / 2;
        moved[row * width..][..width].copy_from_slice(&x[from * width..][..width]);
    }
    Tensor::f32(tensor.shape(), moved).unwrap()
}

/// Several tensors as one, row after row.
fn fuse(all: &mut Tensors, parts: &[String], name: &str) {
    let mut joined = Vec::new();
    let mut shape = Vec::new();
    for part in parts {
        let at = all.iter().position(|(name, _)| name == part).unwrap();
        let tensor = all.remove(at).1;
        joined.extend(numbers(&tensor));
        shape = tensor.shape().to_vec();
    }
    shape[0] = joined.len() / shape[1..].iter().product::<usize>();
    all.push((name.to_owned(), Tensor::f32(shape, joined).unwrap()));
}

fn keys(architecture: &str, config: &LanguageConfig) -> Metadata {
    let mut keys = Metadata::new(Path::new(""));
    keys.set("general.architecture", architecture);
    let mut set = |key: &str, value: Value| keys.set(format!("{architecture}.{key}"), value);
    let size = |x: usize| Value::U32(x as u32);
    set("embedding_length", size(config.hidden));
    set("block_count", size(config.layers));
    set("feed_forward_length", size(config.mlp.intermediate));
    set("attention.head_count", size(config.heads));
    set("attention.head_count_kv", size(config.kv_heads));
    set("attention.key_length", size(config.head_dim));
    set("attention.value_length", size(config.head_dim));
    set("context_length", size(config.max_time));
    set("rope.freq_base", Value::F32(config.rope_theta));
    let rms = if config.norm == Norm::Rms { "_rms" } else { "" };
    set(&format!("attention.layer_norm{rms}_epsilon"), Value::F32(config.rms_eps));
    keys
}

fn write(path: &Path, keys: &Metadata, tensors: &Tensors) {
    let announced = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.ty())).collect();
    let mut writer = GgufWriter::create(path, keys, announced).unwrap();
    tensors.iter().for_each(|(name, tensor)| writer.write(name, tensor).unwrap());
    writer.finish().unwrap();
}

fn small() -> LanguageConfig {
    LanguageConfig {
        hidden: 64,
        layers: 4,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        mlp: Mlp::swiglu(96),
        qk_norm: QkNorm::None,
        tied_head: true,
        max_time: 128,
        ..LanguageConfig::from_depth(2, 50)
    }
}

#[track_caller]
fn reads(
    architecture: &str,
    expected: &LanguageConfig,
    keys: &Metadata,
    tensors: &Tensors,
    weights: &Weights,
) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.gguf");
    write(&path, keys, tensors);
    let model = load_gguf(&path).unwrap();
    assert_eq!(model.architecture, architecture);
    assert_eq!(LanguageConfig { family: expected.family, ..model.config }, *expected);
    assert!(model.weights.keys().eq(weights.keys()));
    for (name, found) in &model.weights {
        // Factors that were stored as 1 + w lose a last bit at most.
        for (a, b) in found.to_f64().iter().zip(weights[name].to_f64()) {
            assert!((a - b).abs() <= 1e-6, "{name}: {a} {b}");
        }
    }
    model.notes.iter().map(|note| note.text.clone()).collect()
}

#[test]
fn llama_has_pairs_side_by_side_and_may_list_factors() {
    let config = LanguageConfig {
        biases: Biases { qkv: true, ..Biases::default() },
        tied_head: false,
        rope_scaling: Some(RopeScaling::LongRope {
            short_factor: (1..=8).map(f64::from).collect(),
            long_factor: (1..=8).map(f64::from).collect(),
            original_max_position_embeddings: 128,
            attention_factor: 1.0,
        }),
        ..small()
    };
    let weights = initialize(&config, 1);
    let mut all = tensors(&config, &weights, |place, t| side_by_side(place, t, 16));
    let factors = Tensor::f32([8], (1..=8).map(|x| x as f32).collect()).unwrap();
    all.push(("rope_freqs.weight".into(), factors));
    let mut keys = keys("llama", &config);
    keys.set("llama.odd_key", 7_u32);
    let notes = reads("llama", &config, &keys, &all, &weights);
    assert!(notes.iter().any(|note| note == "llama.odd_key = 7 is not used"), "{notes:?}");
}

#[test]
fn blocks_stay_as_they_are() {
    let config = LanguageConfig { mlp: Mlp::swiglu(256), ..small() };
    let weights = initialize(&config, 2);
    let typed = |place: Place, t: &Tensor| {
        let t = side_by_side(place, t, 16);
        match place.module {
            Module::Query => t.converted(DType::Q4_1).unwrap(),
            Module::Down => t.converted(DType::Q6_K).unwrap(),
            Module::FinalNorm => t.converted(DType::F16).unwrap(),
            _ => t,
        }
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.gguf");
    write(&path, &keys("llama", &config), &tensors(&config, &weights, typed));
    let model = load_gguf(&path).unwrap();
    let of = |name: &str| &model.weights[name];
    let down = "model.layers.3.mlp.down_proj.weight";
    assert_eq!(*of(down), weights[down].converted(DType::Q6_K).unwrap());
    // Rows are quantised one by one, so that their order changes no block.
    let query = "model.layers.3.self_attn.q_proj.weight";
    assert_eq!(*of(query), weights[query].converted(DType::Q4_1).unwrap());
    assert_eq!(of("model.norm.weight").dtype(), DType::F32);
    let types = StoredTypes::of(&model.config, &model.weights);
    assert_eq!(types.to_string(), "21 f32, 4 q6_k, 4 q4_1");
}

#[test]
fn gemma_stores_one_more_and_chooses_layers_with_windows() {
    for (architecture, every) in [("gemma2", 2), ("gemma3", 6)] {
        let third = architecture == "gemma3";
        let config = LanguageConfig {
            layers: 7,
            block: Block::PreAndPostNorm,
            qk_norm: if third { QkNorm::PerHead } else { QkNorm::None },
            norm_offset: true,
            mlp: Mlp { kind: MlpKind::Geglu, intermediate: 96 },
            embedding_scale: Some(8.0),
            local_rope_theta: third.then_some(1e4),
            score_softcap: (!third).then_some(50.0),
            logit_softcap: (!third).then_some(30.0),
            sliding_window: Some(SlidingWindow {
                window: 16,
                layers: (0..7).filter(|layer| (layer + 1) % every != 0).collect(),
            }),
            ..small()
        };
        let weights = initialize(&config, 3);
        let more = |place: Place, t: &Tensor| {
            let name = gguf_name(place);
            if !name.contains("norm") {
                return t.clone();
            }
            Tensor::f32(t.shape(), numbers(t).iter().map(|x| x + 1.0).collect()).unwrap()
        };
        let mut keys = keys(architecture, &config);
        keys.set(format!("{architecture}.attention.sliding_window"), 16_u32);
        reads(architecture, &config, &keys, &tensors(&config, &weights, more), &weights);
    }
}

#[test]
fn fused_tensors_come_apart() {
    let phi = small();
    let neox = LanguageConfig {
        block: Block::ParallelTwoNorms,
        norm: Norm::Layer,
        mlp: Mlp { kind: MlpKind::GeluExact, intermediate: 96 },
        biases: Biases { qkv: true, output: true, mlp: true },
        rotary_dim: Some(4),
        tied_head: false,
        ..small()
    };
    // Phi-4-mini: three quarters of a head turn, with divisors for long and for short sequences.
    let list = |step: f64| (0..6).map(|i| 1.0 + step * f64::from(i)).collect::<Vec<f64>>();
    let phi4 = LanguageConfig {
        rotary_dim: Some(12),
        rope_scaling: Some(RopeScaling::LongRope {
            short_factor: list(0.25),
            long_factor: list(2.5),
            original_max_position_embeddings: 32,
            attention_factor: 1.25,
        }),
        ..small()
    };
    for (architecture, config) in [("phi3", phi), ("phi3", phi4), ("gptneox", neox)] {
        let weights = initialize(&config, 4);
        let mut all = tensors(&config, &weights, |_, t| t.clone());
        if config.rope_scaling.is_some() {
            for (name, step) in [("rope_factors_short", 0.25), ("rope_factors_long", 2.5)] {
                let factors = list(step).into_iter().map(|x| x as f32).collect();
                all.push((format!("{name}.weight"), Tensor::f32([6], factors).unwrap()));
            }
        }
        for layer in 0..config.layers {
            let name = |part: &str, kind: &str| format!("blk.{layer}.{part}.{kind}");
            for kind in if config.biases.qkv { &["weight", "bias"][..] } else { &["weight"] } {
                let parts = ["attn_q", "attn_k", "attn_v"].map(|part| name(part, kind));
                fuse(&mut all, &parts, &name("attn_qkv", kind));
            }
            if architecture == "phi3" {
                let parts = ["ffn_gate", "ffn_up"].map(|part| name(part, "weight"));
                fuse(&mut all, &parts, &name("ffn_up", "weight"));
            }
        }
        let mut keys = keys(architecture, &config);
        if let Some(rotated) = config.rotary_dim {
            keys.set(format!("{architecture}.rope.dimension_count"), rotated as u32);
        }
        if config.rope_scaling.is_some() {
            keys.set("phi3.rope.scaling.attn_factor", Value::F32(1.25));
            keys.set("phi3.rope.scaling.original_context_length", 32_u32);
        }
        reads(architecture, &config, &keys, &all, &weights);
    }
}

#[test]
fn scales_layers_without_positions_and_norms_after() {
    let granite = LanguageConfig {
        embedding_scale: Some(12.0),
        residual_scale: Some(0.25),
        attention_scale: Some(0.5),
        logit_scale: Some(0.125),
        ..small()
    };
    let mut granite_keys = keys("granite", &granite);
    for (key, value) in [
        ("embedding_scale", 12.0_f32),
        ("residual_scale", 0.25),
        ("attention.scale", 0.5),
        ("logit_scale", 8.0),
    ] {
        granite_keys.set(format!("granite.{key}"), value);
    }
    let smollm3 = LanguageConfig { layers_without_positions: vec![3], ..small() };
    for (name, config, keys) in
        [("granite", &granite, granite_keys), ("smollm3", &smollm3, keys("smollm3", &smollm3))]
    {
        let weights = initialize(config, 5);
        let all = tensors(config, &weights, |place, t| side_by_side(place, t, 16));
        reads(name, config, &keys, &all, &weights);
    }
    let olmo2 = LanguageConfig { block: Block::PostNorm, qk_norm: QkNorm::OverAllHeads, ..small() };
    let weights = initialize(&olmo2, 6);
    let all = tensors(&olmo2, &weights, |_, t| t.clone());
    reads("olmo2", &olmo2, &keys("olmo2", &olmo2), &all, &weights);
}

/// Factors for each head, which are there or not; those of command-r stand with the features of a pair side
/// by side, as rows of queries do.
#[test]
fn norms_of_each_head_are_read_where_they_are() {
    for (architecture, norm, logit_scale) in
        [("stablelm", Norm::Layer, None), ("command-r", Norm::LayerUnbiased, Some(0.25))]
    {
        for qk_norm in [QkNorm::None, QkNorm::LayerByHead] {
            let block = Block::Parallel;
            let config = LanguageConfig { norm, block, qk_norm, logit_scale, ..small() };
            let mut weights = initialize(&config, 10);
            for (name, tensor) in &mut weights {
                if name.contains("_norm") {
                    let values = (0..tensor.ty().elements()).map(|i| 1.0 + i as f32 / 64.0);
                    *tensor = Tensor::f32(tensor.shape(), values.collect()).unwrap();
                }
            }
            let all = tensors(&config, &weights, |place, t| {
                let of_qk = matches!(place.module, Module::QueryNorm | Module::KeyNorm);
                let t = match architecture {
                    "command-r" => pairs_together(place, of_qk, t),
                    _ => t.clone(),
                };
                let heads = t.shape()[0] / 16;
                if of_qk { Tensor::f32([heads, 16], numbers(&t)).unwrap() } else { t }
            });
            let mut keys = keys(architecture, &config);
            if architecture == "stablelm" {
                keys.set("stablelm.use_parallel_residual", Value::Bool(true));
            } else {
                keys.set("command-r.logit_scale", Value::F32(0.25));
            }
            reads(architecture, &config, &keys, &all, &weights);
            if architecture == "command-r" {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("m.gguf");
                let (types, others) = (GgufTypes::All(DType::F32), Metadata::new(&path));
                let report = export_gguf(&path, &config, &weights, types, &others).unwrap();
                assert_eq!(report.architecture, architecture);
            }
        }
    }
}

/// As [`side_by_side`], for the factors of norms too.
fn pairs_together(place: Place, of_qk: bool, tensor: &Tensor) -> Tensor {
    let place = if of_qk { Place { module: Module::Query, ..place } } else { place };
    side_by_side(place, tensor, 16)
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let config = small();
    let weights = initialize(&config, 7);
    let all = tensors(&config, &weights, |place, t| side_by_side(place, t, 16));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.gguf");
    let refused = |architecture: &str, all: &Tensors, change: &dyn Fn(&mut Metadata)| {
        let mut keys = keys(architecture, &config);
        change(&mut keys);
        write(&path, &keys, all);
        let file = stoa_gguf::GgufFile::open(&path).unwrap();
        let message = from_gguf(&file).unwrap_err().to_string();
        assert!(message.contains("m.gguf"), "{message}");
        message
    };
    let message = refused("mamba", &all, &|_| {});
    assert!(message.contains("`mamba`") && message.contains("gemma3"), "{message}");
    let message = refused("llama", &all, &|keys| keys.set("llama.expert_count", 8_u32));
    assert!(message.contains("`llama.expert_count` = 8"), "{message}");
    let message = refused("llama", &all, &|keys| keys.remove(|key| key.ends_with("block_count")));
    assert!(message.contains("no key `llama.block_count`"), "{message}");
    let message = refused("llama", &all, &|keys| {
        keys.set("llama.attention.head_count", Value::Array(Array::U32(vec![4, 4, 4, 2])));
    });
    assert!(message.contains("one number for all layers"), "{message}");
    let message = refused("llama", &all, &|keys| keys.set("llama.rope.scaling.type", "spiral"));
    assert!(message.contains("spiral"), "{message}");
    let mut more = all.clone();
    more.push(("blk.0.ffn_gate_inp.weight".into(), Tensor::f32([1], vec![0.0]).unwrap()));
    let message = refused("llama", &more, &|_| {});
    assert!(message.contains("`blk.0.ffn_gate_inp.weight`"), "{message}");
    // Queries that are no whole heads are seen before their rows are put in order.
    let mut cut = all.clone();
    for (name, tensor) in cut.iter_mut().filter(|(name, _)| name == "blk.0.attn_q.weight") {
        assert_eq!(tensor.shape(), [64, 64], "{name}");
        *tensor = Tensor::f32([63, 64], numbers(tensor)[64..].to_vec()).unwrap();
    }
    let message = refused("llama", &cut, &|_| {});
    assert!(message.contains("q_proj") && message.contains("[63, 64]"), "{message}");
    let message = refused("llama", &all[1..].to_vec(), &|_| {});
    assert!(message.contains("`token_embd.weight`"), "{message}");
}

/// Every element drawn, so that biases and factors count too.
fn random(config: &LanguageConfig) -> Weights {
    let drawn = |parameter: Parameter| {
        let stream = stoa_random::Stream::new(8, &parameter.name);
        let elements = parameter.shape.iter().product::<usize>() as u64;
        let values = (0..elements).map(|at| stream.unit(at) as f32 - 0.5).collect();
        (parameter.name, Tensor::f32(parameter.shape, values).unwrap())
    };
    parameters(config).into_iter().map(drawn).collect()
}

/// Written and read again: the tensors of the types asked for, substitutions listed, errors measured.
#[test]
fn what_is_exported_reads_the_same() {
    let llama = LanguageConfig {
        rope_scaling: Some(RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 64,
        }),
        ..small()
    };
    let gemma3 = LanguageConfig {
        block: Block::PreAndPostNorm,
        qk_norm: QkNorm::PerHead,
        norm_offset: true,
        mlp: Mlp { kind: MlpKind::Geglu, intermediate: 96 },
        embedding_scale: Some(8.0),
        local_rope_theta: Some(1e4),
        sliding_window: Some(SlidingWindow { window: 16, layers: vec![0, 1, 2, 3] }),
        ..small()
    };
    let qwen3 = LanguageConfig { qk_norm: QkNorm::PerHead, tied_head: false, ..small() };
    let qwen2 = LanguageConfig { biases: Biases { qkv: true, ..Biases::default() }, ..small() };
    let granite = LanguageConfig { residual_scale: Some(0.5), logit_scale: Some(0.25), ..small() };
    let smollm3 = LanguageConfig { layers_without_positions: vec![3], ..small() };
    let phi3 = LanguageConfig {
        family: Family::Phi3,
        rotary_dim: Some(8),
        rope_scaling: Some(RopeScaling::LongRope {
            short_factor: vec![1.0; 4],
            long_factor: vec![1.0, 1.5, 2.0, 3.0],
            original_max_position_embeddings: 32,
            attention_factor: 1.0,
        }),
        ..small()
    };
    let inner = |kind| Mlp { kind, intermediate: 96 };
    let all = Biases { qkv: true, output: true, mlp: true };
    let layer_norms = LanguageConfig { norm: Norm::Layer, ..small() };
    let gpt2 = LanguageConfig {
        mlp: inner(MlpKind::Gelu),
        biases: all,
        learned_positions: true,
        ..layer_norms.clone()
    };
    let neox = LanguageConfig {
        block: Block::ParallelTwoNorms,
        mlp: inner(MlpKind::GeluExact),
        biases: all,
        rotary_dim: Some(4),
        tied_head: false,
        ..layer_norms.clone()
    };
    let sequential = LanguageConfig { block: Block::PreNorm, ..neox.clone() };
    let falcon = LanguageConfig {
        kv_heads: 1,
        block: Block::Parallel,
        mlp: inner(MlpKind::GeluExact),
        ..layer_norms.clone()
    };
    let stablelm = LanguageConfig { block: Block::Parallel, ..layer_norms };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.gguf");
    let mut others = Metadata::new(&path);
    others.set("general.license", "mit");
    others.set("tokenizer.ggml.tokens", vec!["a".to_owned(), "b".to_owned()]);
    others.set("llama.block_count", 99_u32);
    for (architecture, config) in [
        ("llama", llama),
        ("gemma3", gemma3),
        ("qwen3", qwen3),
        ("qwen2", qwen2),
        ("granite", granite),
        ("smollm3", smollm3),
        ("phi3", phi3),
        ("gpt2", gpt2),
        ("gptneox", neox),
        ("gptneox", sequential),
        ("falcon", falcon),
        ("stablelm", stablelm),
    ] {
        let weights = random(&config);
        for name in GgufTypes::NAMES {
            let types = GgufTypes::named(name).unwrap();
            let report = export_gguf(&path, &config, &weights, types, &others).unwrap();
            assert_eq!(report.architecture, architecture);
            let file = stoa_gguf::GgufFile::open(&path).unwrap();
            assert_eq!(file.metadata().text("general.license").unwrap(), Some("mit"));
            for tensor in &report.tensors {
                assert_eq!(file.tensor_type(&tensor.name).unwrap().dtype, tensor.dtype);
                // Rows are 64 or 96 numbers.
                let nested = types == GgufTypes::Q4KM && tensor.dtype != DType::F32;
                assert!(tensor.instead_of.is_some() == nested || name == "q4_0", "{tensor:?}");
                let bound = if tensor.dtype == DType::F32 { 0.0 } else { 0.2 };
                assert!(tensor.relative_error <= bound, "{tensor:?}");
            }
            let fused = report.tensors.iter().any(|tensor| tensor.name.contains("attn_qkv.weight"));
            assert_eq!(fused, ["phi3", "gpt2", "gptneox", "falcon"].contains(&architecture));
            assert_eq!(report.bytes, gguf_bytes(&config, types).unwrap());
            // What is loaded so without a file has the same types.
            let read = from_gguf(&file).unwrap();
            let stored = gguf_types(&config, types).unwrap();
            assert_eq!(stored, StoredTypes::of(&config, &read.weights), "{architecture} {name}");
        }
    }
    let own = LanguageConfig { mlp: Mlp::relu_squared(96), ..small() };
    let types = GgufTypes::All(DType::F32);
    let refused = export_gguf(&path, &own, &initialize(&own, 9), types, &others).unwrap_err();
    assert!(refused.to_string().contains("export it as safetensors"), "{refused}");
    let lossy = LanguageConfig {
        rope_scaling: Some(RopeScaling::Yarn {
            factor: 4.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            original_max_position_embeddings: 32,
            attention_factor: Some(1.5),
        }),
        ..small()
    };
    let weights = initialize(&lossy, 9);
    assert!(export_gguf(&path, &lossy, &weights, types, &others).is_err(), "a lost factor");
}
