//! Names, states and sizes of programs and tensors.

use stoa_graph::{Builder, Tensor, TensorType};

use crate::rules::ty;

#[test]
fn sizes_beyond_any_memory_are_refused() {
    let huge = TensorType::f32([1 << 40, 1 << 40]);
    let message = "f32[1099511627776, 1099511627776] holds more bytes than can be addressed; \
                   check the sizes it is made from";
    let mut b = Builder::new();
    assert_eq!(b.state("x", huge.clone()).unwrap_err().to_string(), message);
    assert_eq!(b.data("x", huge.clone()).unwrap_err().to_string(), message);
    assert_eq!(b.fill(huge.clone(), 0.0).unwrap_err().to_string(), message);
    let x = b.data("x", TensorType::f32([1])).unwrap();
    assert_eq!(b.reshape(x, huge.shape.clone()).unwrap_err().to_string(), message);
    let tall = b.data("tall", TensorType::f32([1 << 40, 1])).unwrap();
    assert_eq!(b.matmul(tall, tall, false, true).unwrap_err().to_string(), message);
    let tensor = Tensor::f32(huge.shape, vec![]);
    assert_eq!(tensor.unwrap_err().to_string(), message);
    assert!(Tensor::f32([usize::MAX, 2, 0], vec![]).is_err(), "nor on the way to zero elements");
}

#[test]
fn tensors_hold_what_their_shape_says() {
    assert!(Tensor::f32([2, 3], vec![0.0; 6]).is_ok());
    assert_eq!(
        Tensor::f32([2, 3], vec![0.0; 5]).unwrap_err().to_string(),
        "f32[2, 3] holds 6 elements, was given 5"
    );
    for text in ["f32[2]", "bf16[2]", "f16[2]", "i32[2]"] {
        let tensor = Tensor::from_f64(&ty(text), &[1.0, 3.0]).unwrap();
        assert_eq!(tensor.ty(), ty(text));
        assert_eq!(tensor.to_f64(), [1.0, 3.0]);
        assert_eq!(Tensor::zeros(&ty(text)).to_f64(), [0.0, 0.0]);
    }
}

#[test]
fn names_and_states() {
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([2])).unwrap();
    let ids = b.data("ids", TensorType::i32([2])).unwrap();
    let twice = "the name `x` is used twice; inputs and outputs of a program need distinct names";
    assert_eq!(b.data("x", TensorType::scalar()).unwrap_err().to_string(), twice);
    b.returns("x", x).unwrap();
    assert_eq!(b.returns("x", x).unwrap_err().to_string(), twice);
    b.updates("x", x).unwrap();
    assert_eq!(b.updates("x", x).unwrap_err().to_string(), twice);
    assert_eq!(
        b.updates("ids", ids).unwrap_err().to_string(),
        "the program has no state named `ids`; it has: x"
    );
    assert_eq!(
        b.updates("y", x).unwrap_err().to_string(),
        "the program has no input named `y`; it has: x, ids"
    );
    let mut b = Builder::new();
    let x = b.state("x", TensorType::f32([2])).unwrap();
    let y = b.reshape(x, [1, 2]).unwrap();
    let wrong = "`x` must be f32[2], was given f32[1, 2]";
    assert_eq!(b.updates("x", y).unwrap_err().to_string(), wrong);
}
