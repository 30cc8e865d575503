//! Element types by the numbers that files have for them, as ggml defines them (`ggml_type`), and the
//! numbers of whole files (`general.file_type`). No bytes.

use stoa_graph::DType;

/// Every number with a name, and the type it is here, if any.
const TYPES: [(u32, &str, Option<DType>); 36] = [
    (0, "F32", Some(DType::F32)),
    (1, "F16", Some(DType::F16)),
    (2, "Q4_0", Some(DType::Q4_0)),
    (3, "Q4_1", Some(DType::Q4_1)),
    (6, "Q5_0", Some(DType::Q5_0)),
    (7, "Q5_1", Some(DType::Q5_1)),
    (8, "Q8_0", Some(DType::Q8_0)),
    (9, "Q8_1", None),
    (10, "Q2_K", Some(DType::Q2_K)),
    (11, "Q3_K", Some(DType::Q3_K)),
    (12, "Q4_K", Some(DType::Q4_K)),
    (13, "Q5_K", Some(DType::Q5_K)),
    (14, "Q6_K", Some(DType::Q6_K)),
    (15, "Q8_K", None),
    (16, "IQ2_XXS", None),
    (17, "IQ2_XS", None),
    (18, "IQ3_XXS", None),
    (19, "IQ1_S", None),
    (20, "IQ4_NL", None),
    (21, "IQ3_S", None),
    (22, "IQ2_S", None),
    (23, "IQ4_XS", None),
    (24, "I8", None),
    (25, "I16", None),
    (26, "I32", Some(DType::I32)),
    (27, "I64", None),
    (28, "F64", None),
    (29, "IQ1_M", None),
    (30, "BF16", Some(DType::BF16)),
    (31, "Q4_0_4_4", None),
    (32, "Q4_0_4_8", None),
    (33, "Q4_0_8_8", None),
    (34, "TQ1_0", None),
    (35, "TQ2_0", None),
    (39, "MXFP4", None),
    (40, "NVFP4", None),
];

/// Name of the type with a number.
pub fn name_of_type(number: u32) -> &'static str {
    TYPES.iter().find(|known| known.0 == number).map_or("a type without a name here", |t| t.1)
}

/// The type with a number, if it is read.
pub fn type_of_number(number: u32) -> Option<DType> {
    TYPES.iter().find(|known| known.0 == number).and_then(|known| known.2)
}

/// The number of a type.
pub fn number_of_type(dtype: DType) -> u32 {
    let known = TYPES.iter().find(|known| known.2 == Some(dtype));
    known.expect("the table has every type").0
}

/// Names of the types that are read.
pub(crate) fn known_types() -> String {
    let names: Vec<&str> = TYPES.iter().filter(|t| t.2.is_some()).map(|t| t.1).collect();
    names.join(", ")
}

/// What `general.file_type` says of a file most of whose weights are of a type. Of the types with
/// blocks of 256 it is the number of the mixture that is made here.
pub const fn file_type(dtype: DType) -> Option<u32> {
    match dtype {
        DType::F32 => Some(0),
        DType::F16 => Some(1),
        DType::Q4_0 => Some(2),
        DType::Q4_1 => Some(3),
        DType::Q8_0 => Some(7),
        DType::Q5_0 => Some(8),
        DType::Q5_1 => Some(9),
        DType::Q2_K => Some(10),
        DType::Q3_K => Some(12),
        DType::Q4_K => Some(15),
        DType::Q5_K => Some(17),
        DType::Q6_K => Some(18),
        DType::BF16 => Some(32),
        DType::I32 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_number() {
        for dtype in DType::ALL {
            let number = number_of_type(dtype);
            assert_eq!(type_of_number(number), Some(dtype));
            assert_eq!(name_of_type(number).to_lowercase(), dtype.name());
        }
        assert_eq!((type_of_number(23), name_of_type(23)), (None, "IQ4_XS"));
        assert_eq!(type_of_number(4), None);
    }
}
