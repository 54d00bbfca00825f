//! LAPACK routines as programs for the CPU call them: what the importer reads and the exporter writes.

use gradloom_ir::{DType, Transposition};

/// The letter of each dtype in the name of a routine.
const DTYPES: &[(char, DType)] = &[('s', DType::F32), ('d', DType::F64), ('c', DType::C64), ('z', DType::C128)];

/// Routines that are named otherwise for complex matrices.
const COMPLEX: &[(&str, &str)] = &[("orgqr", "ungqr"), ("ormqr", "unmqr"), ("syevd", "heevd")];

/// The letter of each operation on a matrix.
const TRANSPOSITIONS: &[(char, Transposition)] =
    &[('N', Transposition::None), ('T', Transposition::Transpose), ('C', Transposition::Adjoint)];

/// The attribute that holds the options of a call: LAPACK's letters, as numbers.
pub(super) const OPTIONS: &str = "mhlo.backend_config";

/// What is called for a routine on matrices of this dtype, if there is such.
pub(super) fn target(routine: &str, dtype: DType) -> Option<String> {
    let (letter, _) = DTYPES.iter().find(|(_, d)| *d == dtype)?;
    let other = COMPLEX.iter().find(|(real, _)| *real == routine && dtype.is_complex());
    Some(format!("lapack_{letter}{}_ffi", other.map_or(routine, |(_, complex)| complex)))
}

/// The routine behind a name, without the dtype's letter and as it is named for real matrices.
pub(super) fn routine(target: &str) -> Option<&str> {
    let name = target.strip_prefix("lapack_")?.strip_suffix("_ffi")?;
    let name = name.strip_prefix(|c| DTYPES.iter().any(|(letter, _)| *letter == c))?;
    Some(COMPLEX.iter().find(|(_, complex)| *complex == name).map_or(name, |(real, _)| real))
}

/// The operation a letter stands for.
pub(super) fn transposition(letter: char) -> Option<Transposition> {
    TRANSPOSITIONS.iter().find(|(l, _)| *l == letter).map(|(_, t)| *t)
}
