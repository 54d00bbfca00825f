//! All tests of the crate are one program, and none is part of the library, which would be compiled twice.

mod accuracy;
mod eval;
mod half;
mod text;
