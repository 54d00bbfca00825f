//! What a training loop needs beside the compiled step.

pub mod plot;
