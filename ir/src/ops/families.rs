//! Families of ops that every table treats as one, each listed once, as a pattern.
//!
//! A pattern keeps the tables exhaustive: an op that is in no list and no table does not compile.

/// The decompositions and solvers of linear algebra, as a pattern for `match`: they run as library calls on whole
/// matrices, real or complex, and their rules are in one file of each crate.
#[macro_export]
macro_rules! linalg_ops {
    () => {
        $crate::Op::Cholesky { .. }
            | $crate::Op::TriangularSolve { .. }
            | $crate::Op::Lu {}
            | $crate::Op::LuSolve { .. }
            | $crate::Op::Qr { .. }
            | $crate::Op::Svd { .. }
            | $crate::Op::Eigh { .. }
            | $crate::Op::Eig { .. }
            | $crate::Op::Pinv {}
            | $crate::Op::SpectralForm { .. }
    };
}

/// The ops with nested programs, as a pattern for `match`: each transform treats them itself.
#[macro_export]
macro_rules! body_ops {
    () => {
        $crate::Op::Scan { .. }
            | $crate::Op::While { .. }
            | $crate::Op::Switch { .. }
            | $crate::Op::CustomJvp { .. }
            | $crate::Op::CustomVjp { .. }
            | $crate::Op::CustomLinear { .. }
            | $crate::Op::Remat { .. }
    };
}
