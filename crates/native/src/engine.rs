//! The CPU engine: compiles a program to a plan, binds state and data to addresses, runs the steps
//! one after another, each on all threads. Kernels are elsewhere; this file owns the pointers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use stoa_graph::{
    Buffer, Buffers, CompileOptions, DType, DeviceId, Engine, EngineError, EngineFacts, Executable,
    GraphError, InputKind, MemoryPlan, Op, OpProfile, Output, Outputs, Pending, PendingRun,
    Program, Tensor, TensorType, ValueId, node_cost,
};

use crate::account::{Live, Memory, StateBlock};
use crate::context::Context;
use crate::dispatch::Dispatch;
use crate::gemm::{Arithmetic, Precision, panel_width};
use crate::indices::{IndexCheck, index_checks};
use crate::isa::Isa;
use crate::peak::fma_peak_gflops;
use crate::plan::{Place, Plan};
use crate::pool::Pool;
use crate::step::{self, Kernel, Step};
use crate::view::View;
use crate::weights;

/// Devices of this engine: the processor with all its threads.
const DEVICES: usize = 1;

/// Loops of a sample of the peak, each of some milliseconds.
const PEAK_RUNS: usize = 4;

/// How a [`NativeEngine`] is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeOptions {
    /// Worker threads; `None` for one per available core.
    pub threads: Option<usize>,
    /// Instruction set; `None` for the best this machine has.
    pub isa: Option<Isa>,
    /// Bytes that all programs and buffers may take together; what exceeds them is refused.
    pub memory_limit_bytes: Option<usize>,
}

/// Runs programs on the CPU. Results are bitwise the same for any number of threads.
pub struct NativeEngine {
    pool: Arc<Pool>,
    isa: Isa,
    memory: Arc<Memory>,
    /// Best sample of the peak in FLOP/s, by the type that is multiplied.
    peak_flops: Mutex<BTreeMap<DType, f64>>,
}

impl NativeEngine {
    /// An engine with its own threads.
    ///
    /// # Errors
    /// [`EngineError::Setup`] when this machine lacks the instruction set asked for.
    pub fn new(options: NativeOptions) -> Result<Self, EngineError> {
        let isa = options.isa.unwrap_or_else(Isa::detect);
        if !isa.is_available() {
            return Err(EngineError::Setup(format!(
                "this machine does not have the instruction set `{isa}`; leave it out to use `{}`",
                Isa::detect()
            )));
        }
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = options.threads.unwrap_or_else(cores).max(1);
        let pool = Arc::new(Pool::new(threads));
        let memory = Memory::new(options.memory_limit_bytes);
        Ok(NativeEngine { pool, isa, memory, peak_flops: Mutex::default() })
    }

    /// The threads.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    fn peak(&self) -> std::sync::MutexGuard<'_, BTreeMap<DType, f64>> {
        self.peak_flops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for NativeEngine {
    fn facts(&self) -> EngineFacts {
        let threads = self.pool.threads();
        let plural = if threads == 1 { "" } else { "s" };
        EngineFacts {
            name: format!("native ({}, {threads} thread{plural})", self.isa),
            devices: vec!["cpu".to_owned()],
            memory_limit_bytes: self.memory.limit_bytes(),
            peak_flops: self.peak().clone(),
        }
    }

    fn sample_peak(&self) {
        for (dtype, precision) in [(DType::F32, Precision::F32), (DType::BF16, Precision::Bf16)] {
            let arithmetic = Arithmetic { isa: self.isa, precision };
            let sample = 1e9 * fma_peak_gflops(&self.pool, arithmetic, PEAK_RUNS);
            self.peak().entry(dtype).and_modify(|best| *best = best.max(sample)).or_insert(sample);
        }
    }

    fn upload_to(&self, device: DeviceId, tensor: &Tensor) -> Result<Buffer, EngineError> {
        device.check(DEVICES)?;
        upload(&self.memory, tensor)
    }

    fn zeros_on(&self, device: DeviceId, ty: &TensorType) -> Result<Buffer, EngineError> {
        device.check(DEVICES)?;
        let state = self.memory.state(ty.size_bytes())?;
        Ok(Buffer::new(ty.clone(), device, state))
    }

    fn download(&self, buffer: &Buffer) -> Result<Tensor, EngineError> {
        let block = buffer.handle::<StateBlock>();
        let block = block.ok_or_else(|| EngineError::ForeignBuffer("being downloaded".into()))?;
        let _reading = reading(&self.memory.orders);
        if block.in_panels() {
            let rows = block.copy()?;
            weights::bring(&self.pool, panel_width(self.isa), &buffer.ty, &rows, false);
            return Ok(to_tensor(&buffer.ty, rows.start())?);
        }
        Ok(to_tensor(&buffer.ty, block.start())?)
    }

    fn compile(
        &self,
        program: &Program,
        options: &CompileOptions,
    ) -> Result<Box<dyn Executable>, EngineError> {
        options.placement.check(program, DEVICES)?;
        crate::support::check(program)?;
        let plan = Plan::new(program);
        let bytes = |kind: InputKind| -> usize {
            let of_kind = program.inputs().iter().filter(|i| i.kind == kind);
            of_kind.map(|i| program.ty(i.value).size_bytes()).sum()
        };
        let scratch = plan.steps.iter().map(|s| crate::dispatch::scratch_bytes(program, s));
        let memory = MemoryPlan {
            state_bytes: bytes(InputKind::State),
            arena_bytes: plan.arena_bytes + bytes(InputKind::Data),
            scratch_bytes: scratch.max().unwrap_or(0),
        };
        Ok(Box::new(NativeExecutable {
            checks: index_checks(program)?,
            live: self.memory.program(memory, plan.arena_bytes)?,
            in_panels: weights::packable(program, options),
            program: program.clone(),
            pool: Arc::clone(&self.pool),
            isa: self.isa,
            plan,
            memory,
            profile: None,
        }))
    }
}

/// A tensor as a buffer of this engine.
fn upload(memory: &Arc<Memory>, tensor: &Tensor) -> Result<Buffer, EngineError> {
    let ty = tensor.ty();
    let mut state = memory.state(ty.size_bytes())?;
    state.block_mut().bytes_mut()[..ty.size_bytes()].copy_from_slice(tensor.bytes());
    Ok(Buffer::new(ty, DeviceId::default(), state))
}

/// Copies a value out of the engine's memory.
fn to_tensor(ty: &TensorType, start: *const u8) -> Result<Tensor, GraphError> {
    let bytes: &[u8] = match ty.size_bytes() {
        0 => &[],
        // SAFETY: `start` is the place the plan gave to a value of this many bytes.
        n => unsafe { std::slice::from_raw_parts(start, n) },
    };
    Tensor::from_bytes(ty.clone(), bytes)
}

/// A program with its plan.
struct NativeExecutable {
    program: Program,
    pool: Arc<Pool>,
    isa: Isa,
    plan: Plan,
    memory: MemoryPlan,
    checks: Vec<IndexCheck>,
    /// By input, whether it is read in panels.
    in_panels: Vec<bool>,
    profile: Option<Vec<Duration>>,
    /// The program on the engine's account.
    live: Live,
}

/// Where the values of a run lie.
struct Bound {
    /// By input of the program.
    inputs: Vec<*mut u8>,
    arena: *mut u8,
}

/// The outputs of a run: this engine is done when it returns.
struct Returned {
    outputs: Outputs,
    memory: Arc<Memory>,
}

impl PendingRun for Returned {
    fn is_ready(&self) -> bool {
        true
    }

    fn outputs(self: Box<Self>) -> Result<Outputs, EngineError> {
        Ok(self.outputs)
    }

    fn buffers(self: Box<Self>) -> Result<Buffers, EngineError> {
        let uploaded = self.outputs.iter();
        let uploaded = uploaded.map(|(name, t)| Ok((name.clone(), upload(&self.memory, t)?)));
        Ok(Buffers(uploaded.collect::<Result<_, EngineError>>()?))
    }
}

impl NativeExecutable {
    /// Address of each input's elements.
    fn bind(&self, state: &Buffers, data: &[(&str, &Tensor)]) -> Result<Vec<*mut u8>, EngineError> {
        for (name, _) in data {
            let input = self.program.input(name)?;
            if input.kind != InputKind::Data {
                let name = (*name).to_owned();
                let known = "it is state, kept by the engine".to_owned();
                return Err(GraphError::UnknownName { kind: "data input", name, known }.into());
            }
        }
        let bound = self.program.inputs().iter().map(|input| {
            let expected = self.program.ty(input.value);
            let (found, start) = match input.kind {
                InputKind::State => {
                    let buffer = state.get(&input.name)?;
                    let block = buffer.handle::<StateBlock>();
                    let foreign = || EngineError::ForeignBuffer(input.name.clone());
                    (buffer.ty.clone(), block.ok_or_else(foreign)?.start())
                }
                InputKind::Data => {
                    let given = data.iter().find(|(name, _)| *name == input.name);
                    let (_, tensor) = given.ok_or_else(|| GraphError::UnknownName {
                        kind: "value bound to the data input",
                        name: input.name.clone(),
                        known: data.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", "),
                    })?;
                    (tensor.ty(), tensor.bytes().as_ptr().cast_mut())
                }
            };
            if found == *expected {
                return Ok(start);
            }
            let (name, expected) = (input.name.clone(), expected.clone());
            Err(GraphError::Binding { name, expected, found }.into())
        });
        bound.collect()
    }

    /// Gives each state that this run updates bytes of its own.
    fn own_updates(&self, state: &mut Buffers, inputs: &mut [*mut u8]) -> Result<(), EngineError> {
        for output in self.program.outputs() {
            let Output::Updates { state: name, .. } = output else { continue };
            let Some(buffer) = state.0.get_mut(name) else { continue };
            if !buffer.is_shared() {
                continue;
            }
            let shared = buffer.handle::<StateBlock>();
            let copy = shared.ok_or_else(|| EngineError::ForeignBuffer(name.clone()))?.copy()?;
            let input = self.program.inputs().iter().position(|i| i.name == *name);
            inputs[input.expect("updated states are inputs")] = copy.start();
            *buffer = Buffer::new(buffer.ty.clone(), buffer.device, copy);
        }
        Ok(())
    }

    /// Stores the updates that could not happen in place. A value that is itself the content of a
    /// state is read before any state is written, so that states may trade places.
    fn copy_updates(&self, bound: &Bound) {
        let bytes_of = |value: ValueId| {
            let view = self.view(bound, value);
            // SAFETY: the plan gave the value a place of this many bytes.
            unsafe { std::slice::from_raw_parts(view.start(), view.size_bytes()) }
        };
        let from_input = |v: &ValueId| matches!(self.plan.places[v.index()], Place::Input(_));
        let copies = &self.plan.copies;
        let read_first: Vec<Option<Vec<u8>>> =
            copies.iter().map(|(v, _)| from_input(v).then(|| bytes_of(*v).to_vec())).collect();
        for (&(value, state), early) in copies.iter().zip(&read_first) {
            let bytes = early.as_deref().unwrap_or_else(|| bytes_of(value));
            let to = bound.inputs[state];
            // SAFETY: state and value have one type, checked by the builder; the source is the
            // arena or a copy, never the state's own buffer, which `own_updates` made unshared.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        }
    }

    fn view(&self, bound: &Bound, value: ValueId) -> View<'_> {
        let ty = self.program.ty(value);
        match self.plan.places[value.index()] {
            Place::Input(i) if self.in_panels[i] => {
                View::new(bound.inputs[i], ty).in_panels(panel_width(self.isa))
            }
            Place::Input(i) => View::new(bound.inputs[i], ty),
            // SAFETY: the plan keeps offset + size within the arena it sized.
            Place::Arena(offset) => View::new(unsafe { bound.arena.add(offset) }, ty),
            Place::None => View::new(std::ptr::null_mut(), ty),
        }
    }

    /// Brings states into the order that the program reads them in. While the guard lives, no other
    /// run of the engine changes that.
    fn arrange<'a>(&self, state: &Buffers, orders: &'a RwLock<()>) -> Arranged<'a> {
        let blocks = || {
            let inputs = self.program.inputs().iter().zip(&self.in_panels);
            inputs.filter_map(|(input, &in_panels)| {
                let buffer = state.0.get(&input.name).filter(|_| input.kind == InputKind::State)?;
                let block = buffer.handle::<StateBlock>()?;
                (block.in_panels() != in_panels).then_some((&buffer.ty, block, in_panels))
            })
        };
        let shared = reading(orders);
        if blocks().next().is_none() {
            return Arranged::Shared(shared);
        }
        drop(shared);
        let alone = orders.write().unwrap_or_else(PoisonError::into_inner);
        for (ty, block, in_panels) in blocks() {
            weights::bring(&self.pool, panel_width(self.isa), ty, block, in_panels);
        }
        Arranged::Alone(alone)
    }
}

/// States in the order of a program, for as long as it runs.
#[expect(dead_code, reason = "guards are held and not read")]
enum Arranged<'a> {
    /// As they were: others may read them.
    Shared(RwLockReadGuard<'a, ()>),
    /// Some were brought into it.
    Alone(RwLockWriteGuard<'a, ()>),
}

fn reading(orders: &RwLock<()>) -> RwLockReadGuard<'_, ()> {
    // The lock guards no data of its own.
    orders.read().unwrap_or_else(PoisonError::into_inner)
}

/// Name of a step in profiles.
fn step_name(step: &Step) -> String {
    match &step.kernel {
        Kernel::Op(Op::MatMul { transpose_a, transpose_b, .. })
        | Kernel::Adding(Op::MatMul { transpose_a, transpose_b, .. }) => {
            let letter = |t: &bool| if *t { 'T' } else { 'N' };
            format!("matmul {}{}", letter(transpose_a), letter(transpose_b))
        }
        Kernel::Op(op) | Kernel::Adding(op) => op.name().to_owned(),
        Kernel::ProductThen { then, .. } => format!("matmul+{}", then.name()),
    }
}

/// What the products of a step multiply.
fn multiplies(step: &Step, isa: Isa) -> Option<&'static str> {
    let inside = |op: &Op| {
        let attends = matches!(
            op,
            Op::Attention { .. } | Op::AttentionBackward { .. } | Op::CachedAttention(_)
        );
        attends || step::multiplies(op) || matches!(op, Op::Muon(_))
    };
    step.op().is_none_or(inside).then_some(match (step.precision, isa) {
        (Precision::F32, _) => "f32",
        (Precision::Bf16, Isa::Avx512Bf16) => "bf16",
        (Precision::Bf16, _) => "bf16 as f32",
    })
}

impl Executable for NativeExecutable {
    fn program(&self) -> &Program {
        &self.program
    }

    fn memory(&self) -> MemoryPlan {
        self.memory
    }

    fn run(
        &mut self,
        state: &mut Buffers,
        data: &[(&str, &Tensor)],
    ) -> Result<Pending, EngineError> {
        let inputs = self.bind(state, data)?;
        let memory = Arc::clone(self.live.memory());
        let arranged = self.arrange(state, &memory.orders);
        let mut workspace = memory.borrow(self.plan.arena_bytes)?;
        let workspace = workspace.get();
        let mut bound = Bound { inputs, arena: workspace.arena.start() };
        for check in &self.checks {
            check.check(|input| self.view(&bound, self.program.inputs()[input].value).i32())?;
        }
        self.own_updates(state, &mut bound.inputs)?;
        let context = Context::new(&self.pool, self.isa);
        let mut profile = self.profile.take();
        for (at, step) in self.plan.steps.iter().enumerate() {
            let started = profile.is_some().then(Instant::now);
            let views = |values: &[ValueId]| -> Vec<View> {
                values.iter().map(|&v| self.view(&bound, v)).collect()
            };
            let (ins, outs) = (views(&step.inputs), views(&step.outputs));
            let (precision, caches) = (step.precision, &mut workspace.caches);
            Dispatch { context, precision, caches }.run(&step.kernel, &ins, &outs);
            if let (Some(times), Some(started)) = (&mut profile, started) {
                times[at] += started.elapsed();
            }
        }
        self.profile = profile;
        let returned = self.program.outputs().iter().filter_map(|output| match output {
            Output::Returned { name, value } => Some((name, *value)),
            Output::Updates { .. } => None,
        });
        let outputs: Result<Outputs, EngineError> = returned
            .map(|(name, value)| {
                let start = self.view(&bound, value).start();
                Ok((name.clone(), to_tensor(self.program.ty(value), start)?))
            })
            .collect();
        self.copy_updates(&bound);
        drop(arranged);
        Ok(Pending::new(Returned { outputs: outputs?, memory }))
    }

    fn start_profile(&mut self) {
        self.profile = Some(vec![Duration::ZERO; self.plan.steps.len()]);
    }

    fn take_profile(&mut self) -> Vec<OpProfile> {
        let Some(times) = self.profile.take() else { return Vec::new() };
        let mut by_op: BTreeMap<(String, Option<&str>), OpProfile> = BTreeMap::new();
        for (step, time) in self.plan.steps.iter().zip(times) {
            let (op, multiplies) = (step_name(step), multiplies(step, self.isa));
            let entry = by_op.entry((op.clone(), multiplies)).or_insert(OpProfile {
                op,
                multiplies,
                steps: 0,
                seconds: 0.0,
                flops: 0,
                bytes: 0,
            });
            let nodes = step.nodes.iter().map(|&at| &self.program.nodes()[at]);
            let cost: stoa_graph::Cost = nodes.map(|n| node_cost(&self.program, n)).sum();
            entry.steps += 1;
            entry.seconds += time.as_secs_f64();
            entry.flops += cost.flops;
            entry.bytes += cost.bytes;
        }
        let mut profile: Vec<OpProfile> = by_op.into_values().collect();
        profile.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        profile
    }
}
