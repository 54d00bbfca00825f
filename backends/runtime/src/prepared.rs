//! Library calls together with what they were prepared from, so that a program can be written and read back.

use gradloom_ir::{Builder, Error, Op, Result, Type, parse};
use gradloom_library::{LibraryCall, Reads, prepare, prepare_for};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::{Deref, Range};

/// A library call that knows its op and types.
pub struct Prepared {
    call: LibraryCall,
    from: Box<Source>,
}

/// What a call was prepared from.
struct Source {
    op: Op,
    args: Vec<Type>,
    reads: Option<Reads>,
}

impl Prepared {
    /// Prepares `op` on these types; `reads` says what of the results is read, if that is not all.
    ///
    /// # Errors
    /// If there is no library call for the op, or not for these types.
    pub fn new(op: Op, args: Vec<Type>, results: &[Type], reads: Option<Reads>) -> Result<Prepared> {
        let call = match &reads {
            Some(reads) => prepare_for(&op, &args, results, reads.clone()),
            None => prepare(&op, &args, results),
        };
        let call = call.ok_or_else(|| Error::limit(op.name(), "has no compiled form on the CPU"))??;
        Ok(Prepared { call, from: Box::new(Source { op, args, reads }) })
    }
}

impl Deref for Prepared {
    type Target = LibraryCall;

    fn deref(&self) -> &LibraryCall {
        &self.call
    }
}

/// The written form: a program of the one op as text, and what is read of its results.
#[derive(Serialize, Deserialize)]
struct Written {
    program: String,
    reads: Option<(Vec<bool>, Option<Range<usize>>)>,
}

impl Prepared {
    fn write(&self) -> Result<Written> {
        let Source { op, args, reads } = &*self.from;
        let (mut b, args) = Builder::with_inputs(args);
        let outs = b.emit(op.clone(), &args)?;
        let reads = reads.as_ref().map(|r| (r.results.to_vec(), r.part.clone()));
        let g = b.finish(&outs)?;
        let program = g.to_string();
        // better found where it is compiled than where it is loaded
        if parse(&program)? != g {
            return Err(Error::internal("compile", format!("cannot be read back:\n{program}")));
        }
        Ok(Written { program, reads })
    }

    fn read(w: Written) -> Result<Prepared> {
        let g = parse(&w.program)?;
        let [node] = g.nodes() else {
            return Err(Error::internal("load", format!("{} ops where one was written", g.nodes().len())));
        };
        let reads = w.reads.map(|(results, part)| Reads { results: results.into(), part });
        Prepared::new(node.op.clone(), g.input_types(), &g.output_types(), reads)
    }
}

impl Serialize for Prepared {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        self.write().map_err(serde::ser::Error::custom)?.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Prepared {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Prepared, D::Error> {
        Prepared::read(Written::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}
