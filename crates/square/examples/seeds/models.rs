//! Seeds of the targets that read models: tiny ones, whole and with what attackers write in them.

use serde_json::{Map, Value, json};

/// What stands between the files of one input.
const BETWEEN: &str = "\n---\n";

/// A `config.json` of a Llama of one layer.
const LLAMA: &str = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":4,"hidden_size":8,"intermediate_size":16,"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"max_position_embeddings":64,"rms_norm_eps":1e-6,"rope_theta":10000.0,"hidden_act":"silu","tie_word_embeddings":false,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":32},"torch_dtype":"float32"}"#;
const GEMMA: &str = r#"{"architectures":["Gemma3ForCausalLM"],"model_type":"gemma3_text","vocab_size":4,"hidden_size":8,"intermediate_size":16,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"max_position_embeddings":64,"sliding_window":16,"layer_types":["sliding_attention","full_attention"],"query_pre_attn_scalar":4,"hidden_activation":"gelu_pytorch_tanh","rope_local_base_freq":10000.0}"#;
const HUGE: &str = r#"{"model_type":"llama","vocab_size":4,"hidden_size":8,"intermediate_size":16,"num_hidden_layers":4000000000,"num_attention_heads":2,"max_position_embeddings":9007199254740993}"#;
const INDEX: &str = r#"{"metadata":{"total_size":1},"weight_map":{"model.embed_tokens.weight":"part.safetensors","lm_head.weight":"../part.safetensors"}}"#;
const GENERATION: [&str; 2] = [
    r#"{"do_sample":true,"temperature":0.6,"top_k":20,"top_p":0.95,"min_p":0.05,"repetition_penalty":1.1,"eos_token_id":[1,2],"num_beams":4,"suppress_tokens":[1]}"#,
    r#"{"do_sample":false,"temperature":-1e39,"top_k":18446744073709551615,"top_p":null}"#,
];
const ADAPTER: &str = r#"{"peft_type":"LORA","base_model_name_or_path":"o/n","r":1,"lora_alpha":2,"use_rslora":true,"fan_in_fan_out":false,"rank_pattern":{"q":1},"alpha_pattern":{"q":4},"bias":"none","use_dora":false,"target_modules":["q"],"modules_to_save":null}"#;
const HUB: [&str; 2] = [
    "{\"sha\":\"abc\",\"siblings\":[{\"rfilename\":\"config.json\",\"size\":2}]}\n---\n[{\"type\":\"file\",\"path\":\"model.safetensors\",\"size\":9,\"lfs\":{\"oid\":\"sha256:00\",\"size\":9}},{\"type\":\"directory\",\"path\":\"a\"},{\"type\":\"file\",\"path\":\"../config.json\"},{\"path\":\"README.md\"}]",
    "{\"sha\":null}\n---\n[{\"path\":\"m-00001-of-00002.gguf\"},{\"path\":\"m-00002-of-00002.gguf\"},{\"path\":\"a/x-Q8_0.gguf\"},{\"path\":\"pytorch_model.bin\"}]\n---\n[{\"path\":\"model-00001-of-00001.safetensors\"},{\"path\":\"model.safetensors.index.json\"}]",
];

/// All of them: target, name, bytes.
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds: Vec<(&'static str, String, Vec<u8>)> = Vec::new();
    let mut put = |target, name: &str, bytes: Vec<u8>| seeds.push((target, name.to_owned(), bytes));
    let join = |parts: &[&[u8]]| parts.join(BETWEEN.as_bytes());
    let whole = safetensors(&llama_tensors());
    put("model_directory", "single", join(&[LLAMA.as_bytes(), b"", &whole]));
    put("model_directory", "index", join(&[LLAMA.as_bytes(), INDEX.as_bytes(), &whole]));
    put("model_directory", "gemma", join(&[GEMMA.as_bytes(), b"", &whole]));
    put("model_directory", "huge", join(&[HUGE.as_bytes(), b"", &whole]));
    for (number, text) in GENERATION.iter().enumerate() {
        put("generation_config", &number.to_string(), text.as_bytes().to_vec());
    }
    let prefix = "base_model.model.model.q";
    let factors = [("lora_A", vec![1, 2]), ("lora_B", vec![2, 1])];
    let factors = factors.map(|(half, shape)| (format!("{prefix}.{half}.weight"), shape));
    put("adapter", "factors", join(&[ADAPTER.as_bytes(), &safetensors(&factors)]));
    let saved = [("base_model.model.model.modules_to_save.q.weight".to_owned(), vec![2, 2])];
    put("adapter", "saved", join(&[ADAPTER.as_bytes(), &safetensors(&saved)]));
    for (number, text) in HUB.iter().enumerate() {
        put("hub_listing", &number.to_string(), text.as_bytes().to_vec());
    }
    for (name, bytes) in [("whole", gguf()), ("llama", gguf_llama())] {
        put("gguf", name, bytes.clone());
        put("gguf_model", name, bytes);
    }
    for (name, bytes) in hostile() {
        put("gguf", name, bytes);
    }
    seeds
}

/// The tensors of the Llama of one layer.
fn llama_tensors() -> Vec<(String, Vec<usize>)> {
    let layer = |name: &str| format!("model.layers.0.{name}.weight");
    vec![
        ("model.embed_tokens.weight".to_owned(), vec![4, 8]),
        (layer("input_layernorm"), vec![8]),
        (layer("self_attn.q_proj"), vec![8, 8]),
        (layer("self_attn.k_proj"), vec![4, 8]),
        (layer("self_attn.v_proj"), vec![4, 8]),
        (layer("self_attn.o_proj"), vec![8, 8]),
        (layer("post_attention_layernorm"), vec![8]),
        (layer("mlp.gate_proj"), vec![16, 8]),
        (layer("mlp.up_proj"), vec![16, 8]),
        (layer("mlp.down_proj"), vec![8, 16]),
        ("model.norm.weight".to_owned(), vec![8]),
        ("lm_head.weight".to_owned(), vec![4, 8]),
    ]
}

/// A safetensors file of f32 tensors that are zero.
fn safetensors(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let (mut header, mut end) = (Map::new(), 0);
    for (name, shape) in tensors {
        let begin = end;
        end += 4 * shape.iter().product::<usize>();
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, end]});
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0; end]].concat()
}

fn word(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn long(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn text(text: &str) -> Vec<u8> {
    [&long(text.len() as u64), text.as_bytes()].concat()
}

/// Numbers of types of values.
const U32: u32 = 4;
const F32: u32 = 6;
const TEXT: u32 = 8;
const LIST: u32 = 9;

/// A GGUF file of version 3 from its keys (written with their types) and its tensors: name,
/// dimensions, type, bytes.
fn file(keys: &[Vec<u8>], tensors: &[(&str, &[u64], u32, usize)]) -> Vec<u8> {
    let counts = [word(3), long(tensors.len() as u64), long(keys.len() as u64)].concat();
    let mut file = [b"GGUF".to_vec(), counts, keys.concat()].concat();
    let mut offset = 0_usize;
    for (name, dimensions, ty, bytes) in tensors {
        file.extend([text(name), word(dimensions.len() as u32)].concat());
        file.extend(dimensions.iter().flat_map(|&size| long(size)));
        file.extend([word(*ty), long(offset as u64)].concat());
        offset = (offset + bytes).next_multiple_of(32);
    }
    file.resize(file.len().next_multiple_of(32) + offset, 1);
    file
}

/// A text, a list of numbers, and a tensor of three rows of one Q8_0 block.
fn gguf() -> Vec<u8> {
    let name = [text("general.architecture"), word(TEXT), text("llama")].concat();
    let sizes = [text("sizes"), word(LIST), word(U32), long(2), word(7), word(9)].concat();
    file(&[name, sizes], &[("token_embd.weight", &[32, 3], 8, 3 * 34)])
}

/// A Llama of one layer with its tokenizer.
fn gguf_llama() -> Vec<u8> {
    let number = |key: &str, value: u32| [text(key), word(U32), word(value)].concat();
    let words = |key: &str, value: &str| [text(key), word(TEXT), text(value)].concat();
    let list = |key: &str, values: &[&str]| {
        let count = long(values.len() as u64);
        let values: Vec<u8> = values.iter().flat_map(|value| text(value)).collect();
        [text(key), word(LIST), word(TEXT), count, values].concat()
    };
    let epsilon = 1e-6_f32.to_bits();
    let keys = [
        words("general.architecture", "llama"),
        number("llama.context_length", 64),
        number("llama.embedding_length", 8),
        number("llama.block_count", 1),
        number("llama.feed_forward_length", 32),
        number("llama.attention.head_count", 2),
        number("llama.attention.head_count_kv", 1),
        [text("llama.attention.layer_norm_rms_epsilon"), word(F32), word(epsilon)].concat(),
        words("tokenizer.ggml.model", "llama"),
        list("tokenizer.ggml.tokens", &["<unk>", "<s>", "</s>", "\u{2581}"]),
        [text("tokenizer.ggml.scores"), word(LIST), word(F32), long(4), vec![0; 16]].concat(),
        words("tokenizer.chat_template", "{{ messages[0].content }}"),
    ];
    let tensors: [(&str, &[u64], u32, usize); 11] = [
        ("token_embd.weight", &[8, 4], 0, 128),
        ("blk.0.attn_norm.weight", &[8], 0, 32),
        ("blk.0.attn_q.weight", &[8, 8], 0, 256),
        ("blk.0.attn_k.weight", &[8, 4], 0, 128),
        ("blk.0.attn_v.weight", &[8, 4], 1, 64),
        ("blk.0.attn_output.weight", &[8, 8], 0, 256),
        ("blk.0.ffn_norm.weight", &[8], 0, 32),
        ("blk.0.ffn_gate.weight", &[8, 32], 0, 1024),
        ("blk.0.ffn_up.weight", &[8, 32], 0, 1024),
        ("blk.0.ffn_down.weight", &[32, 8], 8, 272),
        ("output_norm.weight", &[8], 0, 32),
    ];
    file(&keys, &tensors)
}

/// Heads that claim more than there is.
fn hostile() -> [(&'static str, Vec<u8>); 4] {
    let head = |tensors: u64, keys: u64, rest: Vec<u8>| {
        [b"GGUF".to_vec(), word(3), long(tensors), long(keys), rest, vec![0; 64]].concat()
    };
    let tensor =
        |name: &str, offset| [text(name), word(1), long(16), word(0), long(offset)].concat();
    [
        ("many", head(1 << 63, 0, Vec::new())),
        ("endless", head(0, 1, [text("a"), word(TEXT), long(u64::MAX)].concat())),
        ("wide", head(0, 1, [text("a"), word(LIST), word(U32), long(1 << 62)].concat())),
        ("overlap", head(2, 0, [tensor("t", 0), tensor("u", 32)].concat())),
    ]
}
