//! Checks of a shape rule: what it takes and gives, that the facts of the op fit, what it says.

use stoa_graph::{Bound, DType, Elements, GraphError, Op, TensorType, output_types};

pub fn ty(text: &str) -> TensorType {
    let (dtype, shape) = text.trim().trim_end_matches(']').split_once('[').unwrap();
    let dtype = DType::ALL.into_iter().find(|d| d.name() == dtype).unwrap();
    let shape = shape.split(',').filter(|d| !d.trim().is_empty());
    TensorType::new(dtype, shape.map(|d| d.trim().parse().unwrap()).collect::<Vec<usize>>())
}

pub fn types(text: &str) -> Vec<TensorType> {
    text.split(';').filter(|t| !t.trim().is_empty()).map(ty).collect()
}

pub fn result(op: &Op, inputs: &str) -> Result<Vec<TensorType>, GraphError> {
    output_types(op, &types(inputs).iter().collect::<Vec<_>>())
}

/// Takes the inputs, gives the outputs, and refuses one input less and one more.
pub fn accepts(op: Op, inputs: &str, outputs: &str) {
    assert_eq!(result(&op, inputs), Ok(types(outputs)), "{op:?} on {inputs}");
    let given = types(inputs);
    facts_hold(&op, &given, &types(outputs));
    reads_weights_as_stored(&op, &given);
    let n = given.len();
    let mut wrong: Vec<Vec<&TensorType>> = vec![given.iter().collect(); 2];
    wrong[0].pop();
    let scalar = TensorType::scalar();
    wrong[1].push(&scalar);
    for wrong in wrong.into_iter().filter(|w| w.len() != n) {
        let variadic = matches!(op, Op::GlobalNorm) && !wrong.is_empty();
        let found = wrong.len();
        match output_types(&op, &wrong) {
            Err(GraphError::Arity { found: said, expected, .. }) => {
                assert_eq!((said, expected), (found, n.to_string()), "{op:?}");
            }
            Err(GraphError::Attribute { .. }) => assert!(matches!(op, Op::GlobalNorm)),
            other => assert!(variadic && other.is_ok(), "{op:?} on {found} inputs: {other:?}"),
        }
    }
}

/// Every input of integers is known as one, an index reaches into an input that is there, and a
/// result takes over only memory of its own type.
pub fn facts_hold(op: &Op, inputs: &[TensorType], outputs: &[TensorType]) {
    let facts = op.facts();
    for (i, ty) in inputs.iter().enumerate() {
        // A fill and a view hold elements of any type and read none.
        let reads = facts.elements == Elements::Computed;
        let known = facts.integers.iter().any(|integers| integers.input == i);
        assert_eq!(known, reads && ty.dtype == DType::I32, "{op:?}, input {i}: {ty}");
    }
    for integers in &facts.integers {
        let types: Vec<&TensorType> = inputs.iter().collect();
        let limit = integers.bound.limit(&types);
        assert_eq!(limit.is_none(), integers.bound == Bound::Free, "{op:?}");
        assert!(integers.unless.is_none_or(|i| inputs[i].dtype == DType::I32), "{op:?}");
    }
    assert!(facts.in_place.len() <= outputs.len(), "{op:?}");
    for (o, output) in outputs.iter().enumerate() {
        for &i in facts.in_place_of(o) {
            assert_eq!(inputs[i], *output, "{op:?}: result {o} in the place of input {i}");
        }
    }
}

/// Inputs that may be quantised are those the facts name, and no others.
pub fn reads_weights_as_stored(op: &Op, given: &[TensorType]) {
    let facts = op.facts();
    if facts.elements != Elements::Computed {
        return;
    }
    for dtype in [DType::Q8_0, DType::Q5_1] {
        for i in 0..given.len() {
            let mut given = given.to_vec();
            given[i].dtype = dtype;
            let taken = output_types(op, &given.iter().collect::<Vec<_>>()).is_ok();
            // Activations of q8_0 beside quantised weights are no weights.
            let beside = |weights: &TensorType| i == 0 && weights.dtype.is_quantised();
            if matches!(op, Op::MatMul { .. }) && beside(&given[1]) {
                continue;
            }
            // Caches are of one type, a float or q8_0.
            if matches!(op, Op::KvAppend | Op::CachedAttention(_)) && facts.stored.contains(&i) {
                assert!(dtype == DType::Q8_0 || !taken, "{op:?}, input {i} in {dtype}");
                continue;
            }
            assert_eq!(taken, facts.quantised.contains(&i), "{op:?}, input {i} in {dtype}");
        }
    }
    assert!(facts.quantised.iter().all(|i| facts.stored.contains(i)), "{op:?}");
}

#[track_caller]
pub fn refuses(op: Op, inputs: &str, message: &str) {
    assert_eq!(result(&op, inputs).unwrap_err().to_string(), message, "{op:?} on {inputs}");
}
