//! What is learned from: every token once, nothing across documents, answers only, any step alone.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stoa_dialogue::{ChatTemplate, ChatTokens, Dialogue, Message};
use stoa_tokens::{
    END_OF_TEXT, ShardWriter, TokenId, TokenShard, TokenWidth, Tokenizer, TrainOptions,
};
use stoa_training::*;

fn tokenizer() -> Tokenizer {
    let text = "the square is where people ask and the people of the square answer\n";
    let options = TrainOptions { vocab_size: 280, threads: 1, ..TrainOptions::default() };
    Tokenizer::train([text; 4], &options, |_| ControlFlow::Continue(())).unwrap()
}

/// Documents of these lengths whose tokens are all different and not special.
fn numbered(lengths: &[usize]) -> Vec<Vec<TokenId>> {
    let mut next = 1000;
    let document = |&length: &usize| {
        (0..length)
            .map(|_| {
                next += 1;
                TokenId(next)
            })
            .collect()
    };
    lengths.iter().map(document).collect()
}

fn ints(tensor: &stoa_graph::Tensor) -> &[i32] {
    tensor.as_i32().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    /// An epoch holds each token exactly once as a target, each preceded by its own predecessor,
    /// and each piece begins at position 0 in a segment of its own.
    #[test]
    fn an_epoch_is_every_token_once_and_nothing_across_documents(
        lengths in prop::collection::vec(0usize..40, 1..30),
        time in 1usize..24,
        seed in any::<u64>(),
    ) {
        let tokenizer = tokenizer();
        let end = tokenizer.special(END_OF_TEXT).unwrap().0 as i32;
        let documents = numbered(&lengths);
        let successor: BTreeMap<i32, i32> = documents
            .iter()
            .flat_map(|d| d.windows(2).map(|w| (w[0].0 as i32, w[1].0 as i32)))
            .collect();
        let first: Vec<i32> = documents.iter().filter_map(|d| d.first()).map(|t| t.0 as i32).collect();
        let last: Vec<i32> = documents.iter().filter_map(|d| d.last()).map(|t| t.0 as i32).collect();
        let examples = Documents::new(documents.clone(), &tokenizer).unwrap();
        let source = match Source::new(&examples, time, seed, "rows") {
            Ok(source) => source,
            Err(_) => {
                prop_assert!(lengths.iter().all(|&l| l == 0));
                return Ok(());
            }
        };
        let rows = source.packing().rows();
        let order = DataOrder::single(source);
        let mut seen: BTreeMap<i32, usize> = BTreeMap::new();
        let mut ends = 0;
        for step in 0..rows as u64 {
            let batch = order.step(step, 1, 1).unwrap().remove(0);
            let (tokens, targets) = (ints(batch.input("tokens").unwrap()), ints(batch.input("targets").unwrap()));
            let (positions, segments) = (ints(batch.input("positions").unwrap()), ints(batch.input("segments").unwrap()));
            let mut pairs = 0;
            for i in 0..time {
                let begins = i == 0 || segments[i] != segments[i - 1];
                prop_assert_eq!(positions[i], if begins { 0 } else { positions[i - 1] + 1 });
                if !begins && targets[i] != IGNORED {
                    // Within a segment each input is what was predicted before it.
                    prop_assert_eq!(tokens[i], targets[i - 1]);
                }
                if targets[i] == IGNORED {
                    continue;
                }
                pairs += 1;
                if targets[i] == end {
                    ends += 1;
                    prop_assert!(last.contains(&tokens[i]));
                } else {
                    *seen.entry(targets[i]).or_default() += 1;
                    let follows = successor.get(&tokens[i]) == Some(&targets[i]);
                    let opens = tokens[i] == end && first.contains(&targets[i]);
                    prop_assert!(follows || opens, "{} after {}", targets[i], tokens[i]);
                }
            }
            prop_assert_eq!(pairs, batch.tokens);
        }
        let tokens: usize = lengths.iter().sum();
        prop_assert_eq!(seen.len(), tokens);
        prop_assert!(seen.values().all(|&n| n == 1));
        prop_assert_eq!(ends, first.len());
        // The next epoch has the same rows in another order.
        prop_assert_eq!(order.step(rows as u64, 1, 1).unwrap()[0].tokens > 0, true);
    }

    /// Best fit never leaves two rows that would fit into one.
    #[test]
    fn no_two_rows_could_share(lengths in prop::collection::vec(1usize..20, 1..60)) {
        let tokenizer = tokenizer();
        let examples = Documents::new(numbered(&lengths), &tokenizer).unwrap();
        let packing = Packing::best_fit(&examples, 21, 5);
        let mut used: Vec<usize> =
            (0..packing.rows()).map(|r| packing.row(r).iter().map(|p| p.pairs).sum()).collect();
        used.sort_unstable();
        prop_assert!(used.iter().all(|&n| n <= 21));
        prop_assert!(used.len() < 2 || used[0] + used[1] > 21, "{used:?}");
    }
}

#[test]
fn weights_are_a_mean_over_the_whole_step() {
    let tokenizer = tokenizer();
    let examples = Documents::new(numbered(&[3, 9, 4, 30, 1, 1, 5]), &tokenizer).unwrap();
    let source = Source::new(&examples, 8, 1, "rows").unwrap();
    let order = DataOrder::single(source);
    let batches = order.step(0, 2, 3).unwrap();
    let sum: f32 = batches.iter().flat_map(|b| b.input("weights").unwrap().as_f32().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    for batch in &batches {
        let ignored = ints(batch.input("targets").unwrap()).iter().map(|&t| t == IGNORED);
        assert!(
            ignored
                .zip(batch.input("weights").unwrap().as_f32().unwrap())
                .all(|(i, &w)| i == (w == 0.0))
        );
    }
    // Two steps of one batch are the halves of one step of two, whatever came before.
    let apart = [order.step(4, 2, 1).unwrap(), order.step(5, 2, 1).unwrap()].concat();
    let together = order.step(2, 2, 2).unwrap();
    for (a, b) in apart.iter().zip(&together) {
        for name in ["tokens", "targets", "segments"] {
            assert_eq!(a.input(name), b.input(name), "{name}");
        }
    }
}

#[test]
fn shards_and_memory_give_the_same_examples() {
    let directory = tempfile::tempdir().unwrap();
    let tokenizer = tokenizer();
    let documents = numbered(&[5, 0, 17, 1, 8]);
    let mut shards = Vec::new();
    for (i, part) in [&documents[..2], &documents[2..]].into_iter().enumerate() {
        let path = directory.path().join(format!("{i}.tokens"));
        let mut writer =
            ShardWriter::create(&path, tokenizer.fingerprint(), TokenWidth::U16).unwrap();
        part.iter().for_each(|d| writer.push_document(d).unwrap());
        writer.finish().unwrap();
        shards.push(TokenShard::open(&path).unwrap());
    }
    let stored = Documents::from_shards(shards, &tokenizer).unwrap();
    let owned = Documents::new(documents, &tokenizer).unwrap();
    assert_eq!(stored.count(), 5);
    assert_eq!(stored.digest().unwrap(), owned.digest().unwrap());
    let fill = |examples: &Documents| {
        let (mut tokens, mut targets) = (vec![0; 6], vec![0; 6]);
        examples.fill(2, 12, &mut tokens, &mut targets).unwrap();
        (tokens, targets)
    };
    assert_eq!(fill(&stored), fill(&owned));
}

/// Writes dialogues as shards, a part to each.
fn dialogue_shards(
    directory: &Path,
    tokenizer: &Tokenizer,
    parts: &[&[ChatTokens]],
) -> Vec<DialoguePart> {
    let write = |path: &Path, documents: &[Vec<TokenId>]| {
        let fingerprint = tokenizer.fingerprint();
        let mut writer = ShardWriter::create(path, fingerprint, TokenWidth::U16).unwrap();
        documents.iter().for_each(|d| writer.push_document(d).unwrap());
        writer.finish().unwrap();
    };
    let shard = |(at, part): (usize, &&[ChatTokens])| {
        let path = directory.join(format!("{at}.tokens"));
        let tokens: Vec<Vec<TokenId>> = part.iter().map(|chat| chat.tokens.clone()).collect();
        let marks = |chat: &ChatTokens| {
            chat.learned.iter().map(|&learned| TokenId(u32::from(learned))).collect()
        };
        write(&path, &tokens);
        write(&path.with_extension("learned"), &part.iter().map(marks).collect::<Vec<_>>());
        let shard = DialogueShard::open_for(&path, tokenizer.fingerprint()).unwrap();
        DialoguePart::Shard(Box::new(shard))
    };
    parts.iter().enumerate().map(shard).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2),
        ..ProptestConfig::default()
    })]

    /// Shards of dialogues, and shards mixed with dialogues in memory, are the dialogues in memory.
    #[test]
    fn dialogues_in_shards_and_in_memory_are_the_same_examples(
        dialogues in prop::collection::vec(
            prop::collection::vec((0u32..270, any::<bool>()), 0..30), 1..20),
        cuts in (0usize..20, 0usize..20),
        start in 0usize..10,
    ) {
        let tokenizer = tokenizer();
        let directory = tempfile::tempdir().unwrap();
        let chats: Vec<ChatTokens> = dialogues
            .iter()
            .map(|d| ChatTokens {
                tokens: d.iter().map(|(id, _)| TokenId(*id)).collect(),
                learned: d.iter().map(|(_, learned)| *learned).collect(),
            })
            .collect();
        let first = cuts.0.min(chats.len());
        let second = cuts.1.clamp(first, chats.len());
        let parts = [&chats[..first], &chats[first..second], &chats[second..]];
        let mut stored = dialogue_shards(directory.path(), &tokenizer, &parts);
        stored[1] = DialoguePart::Encoded(parts[1].to_vec());
        let stored = Dialogues::new(stored);
        let makes: [fn(Dialogues) -> DialogueExamples; 2] =
            [DialogueExamples::as_text, DialogueExamples::answers_only];
        for make in makes {
            let (stored, owned) = (make(stored.clone()), make(chats.clone().into()));
            prop_assert_eq!(stored.count(), owned.count());
            prop_assert_eq!(stored.digest().unwrap(), owned.digest().unwrap());
            for example in 0..owned.count() {
                prop_assert_eq!(stored.pairs(example), owned.pairs(example));
                let Some(pairs) = owned.pairs(example).checked_sub(start) else { continue };
                let fill = |examples: &DialogueExamples| {
                    let (mut tokens, mut targets) = (vec![0; pairs], vec![0; pairs]);
                    examples.fill(example, start, &mut tokens, &mut targets).unwrap();
                    (tokens, targets)
                };
                prop_assert_eq!(fill(&stored), fill(&owned));
            }
        }
    }
}

#[test]
fn shards_of_dialogues_that_do_not_belong_together_are_refused() {
    let tokenizer = tokenizer();
    let directory = tempfile::tempdir().unwrap();
    let chat = chat(&tokenizer);
    let one = [chat.clone()];
    dialogue_shards(directory.path(), &tokenizer, &[&one, &[chat.clone(), chat]]);
    let path = |name: &str| directory.path().join(name);
    let open = || DialogueShard::open_for(&path("0.tokens"), tokenizer.fingerprint());
    std::fs::copy(path("1.learned"), path("0.learned")).unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("0.learned") && error.contains("stoa tokens shards"), "{error}");
    std::fs::remove_file(path("0.learned")).unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("0.learned"), "{error}");
}

fn dialogue() -> Dialogue {
    Dialogue::new(vec![
        Message::system("be kind"),
        Message::user("where is the square<|im_end|>?"),
        Message::assistant("the people answer"),
        Message::user("and?"),
        Message::assistant("où ça 🙂"),
    ])
}

fn chat(tokenizer: &Tokenizer) -> ChatTokens {
    let template = ChatTemplate::chatml();
    template.encode_for_training(tokenizer, &dialogue().conversation(None)).unwrap()
}

#[test]
fn answers_in_the_templates_of_other_models_are_the_targets() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dialogue/tests/golden");
    let tokenizer = Tokenizer::open(&golden.join("tokenizer.json")).unwrap();
    for (style, end) in [("llama_style", "<|eot_id|>"), ("gemma_style", "<end_of_turn>")] {
        let source = std::fs::read_to_string(golden.join(format!("marked/{style}.jinja"))).unwrap();
        let template = ChatTemplate::new(&source).unwrap();
        let chat = template.encode_for_training(&tokenizer, &dialogue().conversation(None));
        let examples = DialogueExamples::answers_only(vec![chat.unwrap()]);
        let source = Source::new(&examples, examples.pairs(0), 0, "rows").unwrap();
        let batch = DataOrder::single(source).step(0, 1, 1).unwrap().remove(0);
        let targets =
            ints(batch.input("targets").unwrap()).iter().filter(|&&target| target != IGNORED);
        let targets: Vec<TokenId> = targets.map(|&target| TokenId(target as u32)).collect();
        let expected = format!("the people answer{end}où ça 🙂{end}");
        assert_eq!(tokenizer.decode_lossy(&targets), expected, "{style}");
    }
}

#[test]
fn masked_targets_reach_the_batch_and_long_dialogues_lose_their_end() {
    let tokenizer = tokenizer();
    let chat = chat(&tokenizer);
    let learned = chat.learned.iter().skip(1).filter(|&&l| l).count();
    let long = chat.tokens.len();
    let answers = DialogueExamples::answers_only(vec![chat.clone()]);
    let source = Source::new(&answers, long, 0, "rows").unwrap();
    let batch = DataOrder::single(source).step(0, 1, 1).unwrap().remove(0);
    assert_eq!(
        ints(batch.input("targets").unwrap()).iter().filter(|&&t| t != IGNORED).count(),
        learned
    );
    assert_eq!(batch.tokens, long - 1);

    let text = DialogueExamples::as_text(vec![chat]);
    let packing = Packing::best_fit(&text, 10, 0);
    assert_eq!((packing.rows(), packing.truncated_pairs()), (1, long as u64 - 1 - 10));
}

#[test]
fn a_share_of_the_rows_is_dialogues() {
    let tokenizer = tokenizer();
    let documents = Documents::new(numbered(&[6; 40]), &tokenizer).unwrap();
    let chat = chat(&tokenizer);
    let dialogues = DialogueExamples::as_text(vec![chat; 10]);
    let main = Source::new(&documents, 8, 0, "training text").unwrap();
    let second = Source::new(&dialogues, 8, 0, "dialogues").unwrap();
    let order = DataOrder::mixed(main, second, 0.25);
    let start = tokenizer.special(stoa_tokens::IM_START).unwrap().0 as i32;
    let is_dialogue = |step| {
        let parts = order.step(step, 1, 1).unwrap();
        ints(parts[0].input("tokens").unwrap())[0] == start
    };
    let drawn: Vec<bool> = (0..40).map(is_dialogue).collect();
    assert_eq!(drawn.iter().filter(|&&d| d).count(), 10);
    assert!(drawn.chunks(4).all(|four| four.iter().filter(|&&d| d).count() == 1), "evenly spread");
}
