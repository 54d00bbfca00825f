//! The passes as they are offered: what each does, with a program before and after it.

use crate::manager::{Changed, Pass, pass_fn};
use gradloom_ir::{Error, Graph, Result};
use std::sync::Arc;

/// When a pass runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// On every program ([`crate::Pipeline::standard`]).
    Standard,
    /// Before code is made of a program, where it holds what the pass is about ([`crate::Pipeline::lowering`],
    /// [`crate::Pipeline::primitives`]).
    Lowering,
    /// Where it is asked for ([`crate::Pipeline::with`]).
    Optional,
}

/// What a pass keeps of a program's results.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeps {
    /// Every bit; NaNs count as equal.
    Bits,
    /// What is left when floats are combined in another order.
    Rounding,
    /// What is left when numbers are stored in fewer bits.
    LowPrecision,
}

/// A pass as it is offered.
pub struct Offer {
    /// Its name in pipelines.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// When it runs.
    pub role: Role,
    /// What it keeps of the results.
    pub keeps: Keeps,
    /// Why running it again may change a program again; `None` of one that is idempotent.
    pub restless: Option<&'static str>,
    example: &'static str,
    make: fn() -> Arc<dyn Pass>,
}

impl Offer {
    /// The pass, with its parameters as they are by default.
    pub fn pass(&self) -> Arc<dyn Pass> {
        (self.make)()
    }

    /// A program as text, and what the pass makes of it.
    pub fn example(&self) -> (&'static str, &'static str) {
        self.example.split_once("----\n").unwrap_or((self.example, ""))
    }
}

/// Every pass, in the order in which they run where that is fixed.
///
/// ```
/// use gradloom_passes::{Role, catalogue};
/// for offer in catalogue().iter().filter(|o| o.role == Role::Standard) {
///     println!("{}: {}", offer.name, offer.what);
/// }
/// ```
pub fn catalogue() -> &'static [Offer] {
    PASSES
}

/// The pass of this name.
///
/// # Errors
/// If there is none; the error lists the names.
pub fn offer(name: &str) -> Result<&'static Offer> {
    PASSES.iter().find(|o| o.name == name).ok_or_else(|| {
        let known: Vec<&str> = PASSES.iter().map(|o| o.name).collect();
        Error::user("pipeline", format!("there is no pass named `{name}`"))
            .help(format!("the passes are {}", known.join(", ")))
    })
}

/// A function of programs as a pass.
fn function(name: &str, run: fn(&mut Graph) -> Result<Changed>) -> Arc<dyn Pass> {
    Arc::new(pass_fn(name, move |g, _| run(g)))
}

/// [`crate::dead_code`] in place.
fn drop_dead(g: &mut Graph) -> Result<Changed> {
    let uses = g.use_counts();
    // where anything is dead, some node has no use at all
    let dead = g.nodes().iter().any(|n| n.results.iter().all(|r| uses[r.index()] == 0) && !n.op.has_effect());
    if dead {
        *g = crate::dead_code(g);
    }
    Ok(dead.into())
}

const PASSES: &[Offer] = &[
    Offer {
        name: "inline_bodies",
        what: "nested programs that need not be nested: the bodies of remat and of custom derivatives, branches that are \
               known, loops of one step",
        role: Role::Standard,
        keeps: Keeps::Bits,
        restless: None,
        example: include_str!("catalogue/inline_bodies.txt"),
        make: || function("inline_bodies", crate::inline_bodies),
    },
    Offer {
        name: "simplify",
        what: "algebraic rules, applied until none applies; `gradloom_passes::simplification_rules` lists them",
        role: Role::Standard,
        keeps: Keeps::Rounding,
        restless: None,
        example: include_str!("catalogue/simplify.txt"),
        make: || function("simplify", crate::simplify),
    },
    Offer {
        name: "fold",
        what: "what depends on small constants alone is computed by the compiler",
        role: Role::Standard,
        keeps: Keeps::Bits,
        restless: None,
        example: include_str!("catalogue/fold.txt"),
        make: || function("fold", crate::fold),
    },
    Offer {
        name: "cse",
        what: "common subexpressions are computed once",
        role: Role::Standard,
        keeps: Keeps::Bits,
        restless: None,
        example: include_str!("catalogue/cse.txt"),
        make: || function("cse", crate::cse),
    },
    Offer {
        name: "dce",
        what: "what reaches neither a result nor an effect is dropped",
        role: Role::Standard,
        keeps: Keeps::Bits,
        restless: None,
        example: include_str!("catalogue/dce.txt"),
        make: || function("dce", drop_dead),
    },
    Offer {
        name: "hoist",
        what: "what is the same in every step of a scan is computed once, before it; dead loop values are dropped",
        role: Role::Standard,
        keeps: Keeps::Bits,
        restless: None,
        example: include_str!("catalogue/hoist.txt"),
        make: || function("hoist", crate::hoist),
    },
    Offer {
        name: "distribute",
        what: "products inside a scan that need not wait for each other leave it and become one large product",
        role: Role::Standard,
        keeps: Keeps::Rounding,
        restless: None,
        example: include_str!("catalogue/distribute.txt"),
        make: || function("distribute", crate::distribute),
    },
    Offer {
        name: "mixed_precision",
        what: "f32 programs compute their products, and what is safe between them, in bf16",
        role: Role::Optional,
        keeps: Keeps::LowPrecision,
        restless: None,
        example: include_str!("catalogue/mixed_precision.txt"),
        make: || Arc::new(crate::MixedPrecision::default()),
    },
    Offer {
        name: "quantize_weights",
        what: "constant matrices that products read become 8-bit integers with a scale for each channel",
        role: Role::Optional,
        keeps: Keeps::LowPrecision,
        restless: None,
        example: include_str!("catalogue/quantize_weights.txt"),
        make: || Arc::new(crate::QuantizeWeights::default()),
    },
    Offer {
        name: "sink_transposes",
        what: "transpositions and reshapes sink below elementwise ops until they meet, or a product or reduction takes them up",
        role: Role::Optional,
        keeps: Keeps::Rounding,
        restless: None,
        example: include_str!("catalogue/sink_transposes.txt"),
        make: || function("sink_transposes", crate::sink_transposes),
    },
    Offer {
        name: "choose_layouts",
        what: "convolutions compute with channels last, and transpositions sink until they meet",
        role: Role::Optional,
        keeps: Keeps::Rounding,
        restless: None,
        example: include_str!("catalogue/choose_layouts.txt"),
        make: || function("choose_layouts", crate::choose_layouts),
    },
    Offer {
        name: "rematerialise",
        what: "values are computed again instead of being kept in memory; by default as many as help, with a budget as many \
               as it takes (`jit(f).memory_budget(bytes)`)",
        role: Role::Optional,
        keeps: Keeps::Bits,
        restless: Some("what is computed again may be found to be worth computing a third time"),
        example: include_str!("catalogue/rematerialise.txt"),
        make: || Arc::new(crate::Rematerialise::default()),
    },
    Offer {
        name: "unroll_scans",
        what: "short scans become straight code, longer ones do several steps a step (`UnrollScans`)",
        role: Role::Optional,
        keeps: Keeps::Bits,
        restless: Some("what a longer step is made of is not seen in it: it is unrolled again, up to a size"),
        example: include_str!("catalogue/unroll_scans.txt"),
        make: || Arc::new(crate::UnrollScans::default()),
    },
    Offer {
        name: "count_loops",
        what: "while loops whose number of iterations is known become scans",
        role: Role::Optional,
        keeps: Keeps::Bits,
        restless: None,
        example: include_str!("catalogue/count_loops.txt"),
        make: || function("count_loops", crate::count_loops),
    },
    Offer {
        name: "fuse_loops",
        what: "scans of equal length that do not wait for each other become one, and hand rows over step by step (`FuseLoops`)",
        role: Role::Optional,
        keeps: Keeps::Bits,
        restless: None,
        example: include_str!("catalogue/fuse_loops.txt"),
        make: || Arc::new(crate::FuseLoops::default()),
    },
    Offer {
        name: "reassociate_products",
        what: "products of several matrices are taken in the order of least work (`ReassociateProducts`)",
        role: Role::Optional,
        keeps: Keeps::Rounding,
        restless: None,
        example: include_str!("catalogue/reassociate_products.txt"),
        make: || Arc::new(crate::ReassociateProducts::default()),
    },
    Offer {
        name: "saturate",
        what: "the cheapest of all programs that rules in all directions lead to, by equality saturation (`Saturate`)",
        role: Role::Optional,
        keeps: Keeps::Rounding,
        restless: Some("the search is cut off, and begins anew from the program it found"),
        example: include_str!("catalogue/saturate.txt"),
        make: || Arc::new(crate::Saturate::default()),
    },
    Offer {
        name: "expand_primitives",
        what: "ops of the user's own that are computed by other ops become those (they live in a process; the example, being \
               text, has none)",
        role: Role::Lowering,
        keeps: Keeps::Bits,
        restless: None,
        example: include_str!("catalogue/expand_primitives.txt"),
        make: || function("expand_primitives", crate::expand_primitives),
    },
    Offer {
        name: "split_complex",
        what: "ops on complex arrays become ops on their real and imaginary parts",
        role: Role::Lowering,
        keeps: Keeps::Rounding,
        restless: None,
        example: include_str!("catalogue/split_complex.txt"),
        make: || function("split_complex", crate::split_complex),
    },
    Offer {
        name: "widen_sums",
        what: "products of 16-bit floats are summed in f32",
        role: Role::Lowering,
        keeps: Keeps::Bits,
        restless: None,
        example: include_str!("catalogue/widen_sums.txt"),
        make: || function("widen_sums", crate::widen_sums),
    },
];
