//! Programs written as StableHLO text: read back and run beside the original by the interpreter, and, where a Python
//! with JAX is at hand, compiled by XLA (`tests/jax/export.py`).
//!
//! `GRADLOOM_JAX_PYTHON` names that Python; else `python3` is tried. `GRADLOOM_EXPORT_CASES` keeps the cases
//! in a folder.

mod case;
mod edges;
mod models;
#[path = "../../../passes/tests/oracle/mod.rs"]
mod oracle;
#[path = "../../../passes/tests/rules/rows.rs"]
mod rows;

use case::{Case, check};
use gradloom_frontend::prelude::*;
use gradloom_frontend::{debug, stablehlo};
use gradloom_ir::{Builder, Complex, DType, Graph, Literal, Loc, Op, Type, bf16, f16, parse};
use gradloom_passes::transform::{jvp, linearize, transpose};
use oracle::mixed::{self, Palette};
use std::path::Path;
use std::sync::Arc;

/// The rows of the op table on these dtypes, at a point each.
fn table(dtypes: &[DType], mut add: impl FnMut(&str, &Graph, &[Literal], &mut rows::Random)) {
    for &dtype in dtypes {
        for (k, row) in rows::table().iter().enumerate() {
            let rows::Instance::Row(row) = rows::on_dtype(row, dtype) else { continue };
            let mut r = rows::Random(7);
            let point = r.point(&row);
            add(&format!("{dtype} row {k}: {}", row.text), &row.graph, &point, &mut r);
        }
    }
}

#[test]
fn every_op_on_every_dtype() {
    let mut cases = Vec::new();
    table(&DType::ALL, |name, g, point, _| cases.push(Case::of(name, g, point)));
    assert!(cases.len() > 1500, "{} rows", cases.len());
    check("table", cases);
}

#[test]
fn where_exporting_differs_from_case_to_case() {
    let lines = include_str!("instances.txt").lines().filter(|l| !l.is_empty() && !l.starts_with("//"));
    let rows: Vec<_> = lines.map(|text| rows::row(text).map_err(|e| format!("{text}: {e}"))).collect();
    let wrong: Vec<&String> = rows.iter().filter_map(|r| r.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let cases = rows.iter().flatten().map(|r| Case::of(r.text, &r.graph, &rows::Random(7).point(r)));
    check("instances", cases.collect());
}

/// How constants are written: one element once, few in lists, many as bytes; decimals where they say all bits.
#[test]
fn constants_as_text() {
    let check = |x: &Literal, want: &str| {
        let mut b = Builder::new();
        let out = b.literal(x.clone());
        let g = b.finish(&[out]).unwrap_or_else(|e| panic!("{e}"));
        let text = stablehlo::export(&g).unwrap_or_else(|e| panic!("{e}"));
        assert!(text.contains(&format!("{{value = {want} : tensor")), "{want} in\n{text}");
    };
    check(&Literal::new(&[], &[1.5f32]), "dense<1.5>");
    check(&Literal::new(&[3], &[2i8; 3]), "dense<2>");
    check(&Literal::new::<f32>(&[0, 2], &[]), "dense<>");
    check(&Literal::new(&[1, 2, 2], &[true, false, true, true]), "dense<[[[true, false], [true, true]]]>");
    check(&Literal::new(&[2], &[1e-45f32, 3e10]), "dense<[1.0e-45, 30000000000.0]>");
    check(&Literal::new(&[2], &[-0.0f64, f64::NEG_INFINITY]), "dense<[-0.0, 0xFFF0000000000000]>");
    check(&Literal::new(&[], &[f16::from_bits(0x7E01)]), "dense<0x7E01>");
    check(&Literal::new(&[], &[bf16::from_f32(-1.0e30)]), "dense<-1.00025555e30>");
    check(&Literal::new(&[], &[Complex::new(0.1f32, f32::from_bits(0x7FC00001))]), "dense<(0.1, 0x7FC00001)>");
    let count: Vec<i16> = (-1..17).collect();
    let blob = "FFFF0000010002000300040005000600070008000900\
                0A000B000C000D000E000F001000";
    check(&Literal::new(&[18], &count), &format!("dense<\"0x{blob}\">"));
}

/// Every bit of a constant survives, of NaN and the least numbers too, listed, splat or as bytes.
#[test]
fn constants_of_every_dtype() {
    let mut cases = Vec::new();
    for dtype in DType::ALL {
        let mut r = oracle::Random(dtype.size() as u64);
        let mut b = Builder::new();
        let mut outs = Vec::new();
        for shape in [&[][..], &[1], &[2, 3], &[5, 8], &[3, 0], &[1, 1, 2]] {
            let ty = Type::new(dtype, shape);
            let byte = |r: &mut oracle::Random| if dtype == DType::Bool { r.below(2) } else { r.below(256) } as u8;
            let bytes: Vec<u8> = (0..ty.bytes()).map(|_| byte(&mut r)).collect();
            let splat = Literal::from_bytes(Type::scalar(dtype), bytes[..dtype.size().min(bytes.len())].to_vec());
            let x = Literal::from_bytes(ty.clone(), bytes).expect("as many bytes as the type has");
            outs.push(b.literal(x));
            if let Some(one) = splat {
                let bytes = one.bytes().repeat(ty.numel());
                outs.push(b.literal(Literal::from_bytes(ty, bytes).expect("one element repeated")));
            }
        }
        let special = [0x7FC0_0001u32, 0xFF80_0001, 0x7F80_0000, 0x8000_0000, 1, 0x7F7F_FFFF].map(f32::from_bits);
        outs.push(b.literal(Literal::new(&[6], &special)));
        let g = b.finish(&outs).unwrap_or_else(|e| panic!("{e}"));
        cases.push(Case::of(&format!("constants of {dtype}"), &g, &[]));
    }
    check("constants", cases);
}

#[track_caller]
fn fails(g: &Graph, want: &str) {
    let e = stablehlo::export(g).expect_err("it has no text").to_string();
    assert!(e.starts_with(want), "{e}");
}

#[test]
fn what_has_no_text_is_refused_by_name_and_line() {
    let shown = jit(|x: &Tensor| {
        debug::print("x = {}", &[x]);
        x * 2.0
    });
    let low = shown.lower(&Tensor::ones([2])).unwrap_or_else(|e| panic!("{e}"));
    let e = low.stablehlo().expect_err("a print has no text").to_string();
    assert!(e.starts_with("host_call: a program that calls the host") && e.contains("export/main.rs:"), "{e}");
    // nor in a branch that gives nothing
    let branch = jit(|(p, x): &(Tensor, Tensor)| {
        let show = |x: &Tensor| {
            debug::print("x = {}", &[x]);
        };
        cond(p, show, |_: &Tensor| (), x);
        x * 2.0
    });
    let low = branch.lower(&(Tensor::from(true), Tensor::ones([2]))).unwrap_or_else(|e| panic!("{e}"));
    assert!(low.graph().has_effect());
    let e = low.stablehlo().expect_err("a print has no text").to_string();
    assert!(e.starts_with("host_call: a program that calls the host"), "{e}");
    let mut b = Builder::new();
    b.set_loc(&Loc::Parsed("model.rs".into(), 7));
    let i = b.op(Op::AxisIndex { axis_name: "rows".into() }, &[]);
    let g = b.finish(&[i]).unwrap_or_else(|e| panic!("{e}"));
    fails(&g, "axis_index: no mapped axis is named \"rows\" here\n  at model.rs:7");
}

#[test]
fn deep_programs_are_refused() {
    let mut g = parse("graph(%0: f32[]) { %1 = sine(%0) : f32[] return %1 }").unwrap_or_else(|e| panic!("{e}"));
    for _ in 0..80 {
        let (mut b, x) = Builder::with_inputs(&g.input_types());
        let y = b.op(Op::Remat { body: Arc::new(g) }, &x);
        g = b.finish(&[y]).unwrap_or_else(|e| panic!("{e}"));
    }
    fails(&g, "stablehlo: programs nest more than 64 deep");
}

fn floats(g: &Graph) -> Vec<bool> {
    g.input_types().iter().map(|t| t.dtype.is_inexact()).collect()
}

#[test]
fn derivatives_of_every_op() {
    let mut cases = Vec::new();
    table(&[DType::F32, DType::C64, DType::F64], |name, g, point, r| {
        let active = floats(g);
        if active.contains(&true)
            && let Ok(j) = jvp(g, &active, None)
        {
            let types = j.graph.input_types();
            let mut inputs = point.to_vec();
            inputs.extend(r.direction(&types[point.len()..]));
            cases.push(Case::of(&format!("jvp of {name}"), &j.graph, &inputs));
        }
        let Ok(l) = linearize(g, &active) else { return };
        let linear: Vec<bool> = (0..l.linear.num_inputs()).map(|i| i >= l.residuals).collect();
        let Ok(pull) = transpose(&l.linear, &linear) else { return };
        let outs = case::run(&l.primal, point);
        let mut inputs = outs[outs.len() - l.residuals..].to_vec();
        inputs.extend(r.direction(&pull.graph.input_types()[l.residuals..]));
        cases.push(Case::of(&format!("vjp of {name}"), &pull.graph, &inputs));
    });
    assert!(cases.len() > 600, "{} derivatives", cases.len());
    check("derivatives", cases);
}

#[test]
fn edges_of_every_elementwise_op() {
    check("edges", edges::cases());
}

/// The programs among the lines of a text.
fn programs_in(text: &str) -> Vec<Graph> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest
        .find("graph(")
        .filter(|&at| at == 0 || rest.as_bytes()[at - 1] == b'\n')
        .or_else(|| rest.find("\ngraph(").map(|at| at + 1))
    {
        let end = rest[at..].find("\n}").map_or(rest.len(), |e| at + e + 2);
        found.push(parse(&rest[at..end]).unwrap_or_else(|e| panic!("{e}\n{}", &rest[at..end])));
        rest = &rest[end..];
    }
    found
}

/// The programs of golden files and of the passes' tests.
#[test]
fn stored_programs() {
    let mut cases = Vec::new();
    let mut folders = vec![Path::new("../tests/golden").to_path_buf(), Path::new("../passes/tests/ir").to_path_buf()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> =
            std::fs::read_dir(&folder).expect("a folder of programs").flatten().map(|e| e.path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a file of programs");
            for (i, g) in programs_in(&text).iter().enumerate() {
                if g.calls_host() {
                    continue;
                }
                let name = format!("{} {i}", path.display());
                let inputs: Vec<Literal> =
                    g.input_types().iter().map(|t| oracle::unit_array(&mut oracle::Random(i as u64), t)).collect();
                cases.push(Case::of(&name, g, &inputs));
            }
        }
    }
    assert!(cases.len() > 100, "{} programs", cases.len());
    check("stored", cases);
}

#[test]
fn generated_programs() {
    let mut cases = Vec::new();
    for seed in 0..120 {
        let palette = Palette::nth(seed as usize, false);
        let g = mixed::program(&mut oracle::Random(1000 + seed), palette);
        cases.push(Case::of(
            &format!("mixed {seed} of {} and {}", palette.float, palette.int),
            &g,
            &mixed::inputs(seed, &g),
        ));
    }
    for seed in 0..60 {
        let g = oracle::programs::looped(&mut oracle::Random(seed));
        cases.push(Case::of(&format!("loop {seed}"), &g, &oracle::inputs(seed, &g, false)));
    }
    check("generated", cases);
}

#[test]
fn training_steps_and_loops() {
    check("models", models::cases());
}
