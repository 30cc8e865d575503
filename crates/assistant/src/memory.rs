//! What a model takes, computed before anything is taken: weights, programs, and the cache of one
//! conversation. Chooses the context where none is asked for; allocates nothing but the workspace
//! of one program, which is given back.

use stoa_graph::{CompileOptions, DType, Engine, EngineError, Placement, TensorType};
use stoa_models::{
    DecodingSpec, LanguageConfig, Parameter, StoredTypes, cache_types, check_cache,
    decoding_program_of, parameters,
};

use crate::AssistantError;
use crate::decoder::PAGE_TOKENS;
use crate::scheduler::SchedulerOptions;

/// The share of memory that a cache takes where no context is asked for: one part in four.
pub const CACHE_SHARE: u64 = 4;

/// Tokens of a conversation that a model is given beyond that share, if they fit at all.
const LEAST_CONTEXT: usize = 512;

/// What a model takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNeed {
    /// Weights, the embedding among them.
    pub parameters: u64,
    /// Their bytes as they are kept.
    pub weights: u64,
    /// What programs need beside weights and cache.
    pub programs: u64,
    /// The cache of one token.
    pub cache_of_a_token: u64,
    /// Tokens of the conversation.
    pub context: usize,
}

impl MemoryNeed {
    /// The cache of the conversation.
    pub fn cache(&self) -> u64 {
        self.cache_of_a_token.saturating_mul(self.context as u64)
    }

    /// Everything.
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.programs).saturating_add(self.cache())
    }

    /// Tokens whose cache fits into `bytes` beside weights and programs, in whole pages.
    fn tokens_within(&self, bytes: u64) -> usize {
        let room = bytes.saturating_sub(self.weights.saturating_add(self.programs));
        let tokens = room / self.cache_of_a_token.max(1);
        usize::try_from(tokens).unwrap_or(usize::MAX) / PAGE_TOKENS * PAGE_TOKENS
    }

    fn refused(self, limit: u64) -> AssistantError {
        AssistantError::Memory { need: self, limit, fits: self.tokens_within(limit) }
    }
}

/// Weights and their bytes by a configuration and types alone: numbers that no allocation has been
/// made for may be of any size.
fn weight_bytes(config: &LanguageConfig, ty: impl Fn(&Parameter) -> TensorType) -> (u64, u64) {
    let mut sums = (0_u64, 0_u64);
    for parameter in parameters(config) {
        let elements =
            parameter.shape.iter().fold(1_u64, |product, &d| product.saturating_mul(d as u64));
        let block = ty(&parameter).dtype.block();
        sums.0 = sums.0.saturating_add(elements);
        let bytes = (elements / block.elements as u64).saturating_mul(block.bytes as u64);
        sums.1 = sums.1.saturating_add(bytes);
    }
    sums
}

/// That the weights of a configuration can fit at all, before a file of them is opened: with
/// `matrices` unknown, at half a byte each.
///
/// # Errors
/// [`AssistantError::Memory`].
pub fn check_weights(
    engine: &dyn Engine,
    config: &LanguageConfig,
    matrices: Option<DType>,
) -> Result<(), AssistantError> {
    let Some(limit) = engine.facts().memory_limit_bytes else { return Ok(()) };
    let matrix = matrices.unwrap_or(DType::F32);
    let (parameters, bytes) = weight_bytes(config, |p| p.ty(matrix));
    let weights = if matrices.is_some() { bytes } else { parameters / 2 };
    let need = MemoryNeed { parameters, weights, programs: 0, cache_of_a_token: 1, context: 0 };
    if need.total() > limit as u64 { Err(need.refused(limit as u64)) } else { Ok(()) }
}

/// Sizes for one conversation at a time that fit the memory of the engine, and what they take. The
/// context is the one asked for, or as much as a quarter of the memory holds and the model is meant
/// for.
///
/// # Errors
/// [`AssistantError::Memory`] for what does not fit, what a program or an engine refuses.
pub fn fit(
    engine: &dyn Engine,
    config: &LanguageConfig,
    matrices: &StoredTypes,
    options: SchedulerOptions,
) -> Result<(SchedulerOptions, MemoryNeed), AssistantError> {
    check_cache(config, options.caches)?;
    let (parameters, weights) = weight_bytes(config, |p| matrices.ty(p));
    let page = DecodingSpec {
        tokens: options.rows,
        rows: 1,
        pages: 1,
        page: PAGE_TOKENS,
        columns: 1,
        weights: DType::F32,
        caches: options.caches,
    };
    let types = cache_types(config, &page);
    let page_bytes: u64 = types.iter().map(|(_, ty)| TensorType::size_bytes(ty) as u64).sum();
    // Each row of a program has the numbers of the pages it reads from, four bytes each.
    let table = (4 * options.rows as u64).div_ceil(PAGE_TOKENS as u64);
    let least = config.max_time.min(PAGE_TOKENS);
    let mut need = MemoryNeed {
        parameters,
        weights,
        programs: 0,
        cache_of_a_token: page_bytes.div_ceil(PAGE_TOKENS as u64) + table,
        context: options.context.unwrap_or(least),
    };
    let limit = engine.facts().memory_limit_bytes.map(|limit| limit as u64);
    if let Some(limit) = limit.filter(|limit| need.total() > *limit) {
        return Err(need.refused(limit));
    }
    need.programs = program_bytes(engine, config, &page, matrices)?;
    if options.context.is_none() {
        need.context = default_context(&need, config.max_time, limit);
    }
    if let Some(limit) = limit.filter(|limit| need.total() > *limit) {
        return Err(need.refused(limit));
    }
    Ok((SchedulerOptions { context: Some(need.context), ..options }, need))
}

/// Bytes of values and scratch of the largest program.
fn program_bytes(
    engine: &dyn Engine,
    config: &LanguageConfig,
    spec: &DecodingSpec,
    matrices: &StoredTypes,
) -> Result<u64, AssistantError> {
    let options = CompileOptions { placement: Placement::default(), pack_weights: true };
    let program = decoding_program_of(config, spec, &|p| matrices.ty(p))?;
    let plan = match engine.compile(&program, &options) {
        Ok(program) => program.memory(),
        // What it would take is compared with the limit by the caller, with all the rest.
        Err(EngineError::MemoryLimit { plan, .. }) => plan,
        Err(error) => return Err(error.into()),
    };
    Ok((plan.arena_bytes + plan.scratch_bytes) as u64)
}

/// As many tokens as the share of memory holds; at least [`LEAST_CONTEXT`] where the rest holds
/// them, else what it holds. Never more than the model is meant for.
fn default_context(need: &MemoryNeed, max_time: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return max_time };
    let fixed = need.weights.saturating_add(need.programs);
    let shared = need.tokens_within(fixed.saturating_add(limit / CACHE_SHARE).min(limit));
    let wanted = shared.max(LEAST_CONTEXT.min(need.tokens_within(limit)));
    wanted.max(PAGE_TOKENS).min(max_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_follow_from_memory_and_model() {
        let need = MemoryNeed {
            parameters: 0,
            weights: 1000,
            programs: 0,
            cache_of_a_token: 10,
            context: 0,
        };
        // A quarter of 80,000 bytes holds 2,000 tokens, 1,984 in whole pages.
        assert_eq!(default_context(&need, 4096, Some(80_000)), 1984);
        assert_eq!(default_context(&need, 1000, Some(80_000)), 1000);
        // A quarter of 10,000 holds 250 tokens; 512 fit into the rest.
        assert_eq!(default_context(&need, 4096, Some(10_000)), 512);
        // 100 tokens fit at all.
        assert_eq!(default_context(&need, 4096, Some(2000)), 96);
        assert_eq!(default_context(&need, 4096, None), 4096);
    }

    #[test]
    fn numbers_beyond_any_memory_are_only_large() {
        let config = LanguageConfig {
            vocab: i32::MAX as usize,
            hidden: 1 << 20,
            layers: 4096,
            ..LanguageConfig::from_depth(2, 10)
        };
        let (parameters, bytes) = weight_bytes(&config, |p| p.ty(DType::F32));
        assert!(parameters > 1 << 50 && bytes > parameters, "{parameters} {bytes}");
    }
}
