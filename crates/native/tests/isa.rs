//! Every vector operation of every instruction set of this machine against plain scalar Rust.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use proptest::prelude::*;
use stoa_native::isa::{Isa, Kernel, Simd};

/// Applies every lane-wise operation to 16 lanes of three inputs, in the order of [`expected`].
struct LaneOps<'a>([&'a [f32; 16]; 3]);

impl Kernel for LaneOps<'_> {
    type Output = Vec<[f32; 16]>;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<[f32; 16]> {
        let mut out = vec![[0.0; 16]; 20];
        for at in (0..16).step_by(S::LANES) {
            let [a, b, c] = self.0.map(|x| s.load(&x[at..]));
            let (one, zero) = (s.splat(1.0), s.zero());
            let results = [
                s.add(a, b),
                s.sub(a, b),
                s.mul(a, b),
                s.div(a, b),
                s.mul_add(a, b, c),
                s.neg_mul_add(a, b, c),
                s.max(a, b),
                s.min(a, b),
                s.sqrt(s.abs(a)),
                s.abs(a),
                s.neg(a),
                s.round(a),
                s.select(s.lt(a, b), one, zero),
                s.select(s.le(a, b), one, zero),
                s.select(s.eq(a, b), one, zero),
                s.select(s.and(s.lt(a, b), s.lt(b, c)), a, c),
                s.scale_exp2(a, s.round(c)),
                s.exp(a),
                s.sigmoid(a),
                s.round_bf16(a),
            ];
            for (row, v) in out.iter_mut().zip(results) {
                s.store(v, &mut row[at..]);
            }
        }
        out
    }
}

/// The same in scalar f32 (or f64 where noted by a tolerance), lane by lane: (value, relative
/// tolerance). 0 means equal, NaN equal to NaN.
fn expected(a: f32, b: f32, c: f32) -> [(f32, f32); 20] {
    let truth = |x: bool| if x { 1.0 } else { 0.0 };
    let (wide_a, wide_b, wide_c) = (f64::from(a), f64::from(b), f64::from(c));
    // Fused or not: one rounding of the product apart, relative to the larger term.
    let sum_tolerance = |sum: f64| {
        let size = (wide_a * wide_b).abs().max(wide_c.abs());
        (2.0 * f64::from(f32::EPSILON) * size / sum.abs().max(1e-30)) as f32
    };
    let (fused, negated) = (wide_a * wide_b + wide_c, wide_c - wide_a * wide_b);
    [
        (a + b, 0.0),
        (a - b, 0.0),
        (a * b, 0.0),
        (a / b, 0.0),
        (fused as f32, sum_tolerance(fused)),
        (negated as f32, sum_tolerance(negated)),
        (if a > b { a } else { b }, 0.0),
        (if a < b { a } else { b }, 0.0),
        (a.abs().sqrt(), 0.0),
        (a.abs(), 0.0),
        (-a, 0.0),
        (a.round_ties_even(), 0.0),
        (truth(a < b), 0.0),
        (truth(a <= b), 0.0),
        (truth(a == b), 0.0),
        (if a < b && b < c { a } else { c }, 0.0),
        // Two roundings instead of one when the result is subnormal.
        ((wide_a * wide_c.round_ties_even().exp2()) as f32, 1e-6),
        // The documented 2e-7, and the rounding of the reference to f32.
        (wide_a.exp() as f32, 3e-7),
        ((1.0 / (1.0 + (-wide_a).exp())) as f32, 5e-7),
        (half::bf16::from_f32(a).to_f32(), 0.0),
    ]
}

fn assert_lanes(isa: Isa, a: [f32; 16], b: [f32; 16], c: [f32; 16]) {
    let got = isa.dispatch(LaneOps([&a, &b, &c]));
    for lane in 0..16 {
        for (op, (want, tolerance)) in expected(a[lane], b[lane], c[lane]).into_iter().enumerate() {
            let got = got[op][lane];
            // MIN_POSITIVE bounds what gradual underflow may lose.
            let close = got == want
                || (got.is_nan() && want.is_nan())
                || tolerance > 0.0
                    && (got - want).abs() <= tolerance * want.abs() + f32::MIN_POSITIVE;
            let at = (a[lane], b[lane], c[lane]);
            assert!(close, "{isa} operation {op} of {at:?}: got {got}, expected {want}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn lanes_match_scalars(
        a in prop::array::uniform16(-87.0f32..88.0),
        b in prop::array::uniform16(-9.0f32..9.0),
        c in prop::array::uniform16(-100.0f32..100.0),
    ) {
        for isa in Isa::available() {
            assert_lanes(isa, a, b, c);
        }
    }

    #[test]
    fn partial_access_touches_only_its_lanes(len in 0usize..40, seed in any::<u32>()) {
        struct Copy<'a>(&'a [f32], &'a mut [f32]);
        impl Kernel for Copy<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                for (x, y) in self.0.chunks(S::LANES).zip(self.1.chunks_mut(S::LANES)) {
                    s.store_partial(s.load_partial(x), y);
                }
            }
        }
        let source: Vec<f32> = (0..len).map(|i| (seed as usize % 97 + i) as f32).collect();
        for isa in Isa::available() {
            let mut copy = vec![-1.0; len + 20];
            isa.dispatch(Copy(&source, &mut copy[..len]));
            prop_assert_eq!(&copy[..len], &source[..]);
            prop_assert!(copy[len..].iter().all(|&x| x == -1.0));
        }
    }
}

#[test]
fn special_values_follow_the_scalar_rules() {
    let (nan, inf, tiny) = (f32::NAN, f32::INFINITY, f32::MIN_POSITIVE);
    let a = [
        nan, 1.0, inf, -inf, 0.0, -0.0, 89.0, -104.5, -120.0, 200.0, -87.5, tiny, nan, 2.5, -2.5,
        3.5,
    ];
    let b = [1.0, nan, 1.0, 1.0, -0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, nan, 0.5, 0.5, 0.5];
    for isa in Isa::available() {
        assert_lanes(isa, a, b, [1.0; 16]);
    }
}

#[test]
fn reductions_and_transposition() {
    struct Reduce<'a>(&'a [f32; 256]);
    impl Kernel for Reduce<'_> {
        type Output = (f32, f32, Vec<f32>);
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> (f32, f32, Vec<f32>) {
            let mut square = s.square(s.zero());
            for (i, row) in square.as_mut().iter_mut().enumerate() {
                *row = s.load(&self.0[i * 16..]);
            }
            let square = s.transpose(square);
            let mut out = vec![0.0; S::LANES * S::LANES];
            for (row, to) in square.as_ref().iter().zip(out.chunks_mut(S::LANES)) {
                s.store(*row, to);
            }
            (s.reduce_add(s.iota()), s.reduce_max(s.load(self.0)), out)
        }
    }
    let values: [f32; 256] = std::array::from_fn(|i| ((i * 37) % 256) as f32);
    for isa in Isa::available() {
        let n = isa.lanes();
        let (sum, max, transposed) = isa.dispatch(Reduce(&values));
        assert_eq!(sum, (n * (n - 1) / 2) as f32, "{isa}");
        assert_eq!(max, values[..n].iter().copied().fold(0.0, f32::max), "{isa}");
        for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
            assert_eq!(transposed[i * n + j], values[j * 16 + i], "{isa} {i} {j}");
        }
    }
}

#[test]
fn sixteen_bit_formats_convert_every_pattern() {
    struct Widen<'a>(&'a [u16], bool);
    impl Kernel for Widen<'_> {
        type Output = (Vec<f32>, Vec<u16>);
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> (Vec<f32>, Vec<u16>) {
            let mut wide = vec![0.0; self.0.len()];
            let mut narrow = vec![0u16; self.0.len()];
            for at in (0..self.0.len()).step_by(S::LANES) {
                // SAFETY: the length is a multiple of 16, so of LANES.
                unsafe {
                    let p = self.0.as_ptr().add(at);
                    let v = if self.1 { s.load_f16_ptr(p) } else { s.load_bf16_ptr(p) };
                    s.store_ptr(v, wide.as_mut_ptr().add(at));
                    s.store_f16_ptr(v, narrow.as_mut_ptr().add(at));
                }
            }
            (wide, narrow)
        }
    }
    let bits: Vec<u16> = (0..=u16::MAX).collect();
    for isa in Isa::available() {
        let (halves, back) = isa.dispatch(Widen(&bits, true));
        let (brains, _) = isa.dispatch(Widen(&bits, false));
        for (i, &b) in bits.iter().enumerate() {
            let (half, brain) = (half::f16::from_bits(b), half::bf16::from_bits(b));
            assert!(
                halves[i] == half.to_f32() || half.is_nan() && halves[i].is_nan(),
                "{isa} {b:#x}"
            );
            assert!(back[i] == b || half.is_nan(), "{isa} {b:#x}");
            assert!(
                brains[i] == brain.to_f32() || brain.is_nan() && brains[i].is_nan(),
                "{isa} {b:#x}"
            );
        }
    }
}

#[test]
fn bytes_and_single_halves_convert_every_pattern() {
    struct Widen<'a>(&'a [u8], &'a [u16]);
    impl Kernel for Widen<'_> {
        type Output = (Vec<f32>, Vec<f32>);
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> (Vec<f32>, Vec<f32>) {
            let mut bytes = vec![0.0; self.0.len()];
            for at in (0..self.0.len()).step_by(S::LANES) {
                // SAFETY: the length is a multiple of 16, so of LANES.
                unsafe {
                    let v = s.load_i8_ptr(self.0.as_ptr().add(at).cast());
                    s.store_ptr(v, bytes.as_mut_ptr().add(at));
                }
            }
            let mut halves = Vec::new();
            for half in self.1 {
                let mut lanes = [0.0; 16];
                // SAFETY: a number of the slice.
                s.store(unsafe { s.splat_f16_ptr(half) }, &mut lanes);
                let same = |x: &f32| x.to_bits() == lanes[0].to_bits();
                assert!(lanes[..S::LANES].iter().all(same), "{half:#x} in every lane");
                halves.push(lanes[0]);
            }
            (bytes, halves)
        }
    }
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let bits: Vec<u16> = (0..=u16::MAX).collect();
    for isa in Isa::available() {
        let (signed, halves) = isa.dispatch(Widen(&bytes, &bits));
        let expected: Vec<f32> = bytes.iter().map(|&b| f32::from(b as i8)).collect();
        assert_eq!(signed, expected, "{isa}");
        for (&b, found) in bits.iter().zip(halves) {
            let half = half::f16::from_bits(b);
            assert!(found == half.to_f32() || half.is_nan() && found.is_nan(), "{isa} {b:#x}");
        }
    }
}

#[test]
fn names_parse_back() {
    for isa in Isa::ALL {
        assert_eq!(isa.to_string().parse::<Isa>(), Ok(isa));
    }
    assert!("sse9".parse::<Isa>().unwrap_err().to_string().contains("use portable"));
    assert!(Isa::detect().is_available());
}
