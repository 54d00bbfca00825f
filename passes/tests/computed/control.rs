//! What the simplifier does without a rule: to ops with bodies, and to arrays without elements.

use super::source::Source;
use super::{Form, check, form};
use crate::oracle;
use gradloom_ir::{Binary, Builder, DType, Graph, Literal, Op, Type, Value};
use gradloom_passes::{Changed, simplify};
use std::sync::Arc;

const FORMS: &[Form] = &[
    form("an array without elements = an empty constant", "constant", |s| {
        let (dtype, mut shape) = (s.dtype(), s.shape([1, 3], 0..=3));
        let at = s.below(shape.len());
        shape[at] = 0;
        let x = s.input(dtype, &shape);
        let axes = s.axes(shape.len());
        s.b.op(Op::Reverse { axes }, &[x])
    }),
    form("switch(n, ..) = branch n", "*", |s| {
        let dtype = s.dtype_that(DType::is_int);
        let at = s.pick(&[0.0, 1.0, 2.0, -3.0, 9.0]);
        let n = s.b.literal(Literal::scalar(DType::I32, at));
        let x = s.input(dtype, &[2]);
        let branches = [Binary::Add, Binary::Mul, Binary::Max].map(|f| {
            let (mut b, args) = Builder::with_inputs(&[Type::new(dtype, &[2])]);
            let seven = b.full_like(args[0], 7.0);
            let y = b.binary(f, args[0], args[0]);
            let y = if f == Binary::Max { b.binary(Binary::Xor, y, seven) } else { y };
            Arc::new(b.finish(&[y]).expect("a branch"))
        });
        s.b.op(Op::Switch { branches: branches.to_vec() }, &[n, x])
    }),
    form("while(false, ..) = init", "", |s| {
        let ty = Type::new(s.dtype_that(DType::is_int), &s.shape([0, 2], 1..=3));
        let x = s.input(ty.dtype, &ty.shape);
        let (mut cond, _) = Builder::with_inputs(std::slice::from_ref(&ty));
        let never = cond.scalar(DType::Bool, 0.0);
        let cond = Arc::new(cond.finish(&[never]).expect("a condition"));
        let body = Arc::new(step(&[ty], |b, x| b.neg(x[0])));
        s.b.op(Op::While { cond, body, cond_consts: 0, body_consts: 0 }, &[x])
    }),
    form("scan of no row = init", "", |s| looped(s, 0)),
    form("scan of one row = the step", "multiply subtract", |s| looped(s, 1)),
    form("scan(f, 1, ..) = scan(f(1), ..)", "constant broadcast_in_dim scan(subtract)", |s| {
        let length = 2 + s.below(3);
        looped_with(s, length, 1.0)
    }),
    form(
        "scan(f, 5, ..) = scan(f(5), ..)",
        "constant broadcast_in_dim scan(constant,broadcast_in_dim,multiply,subtract)",
        |s| {
            let length = 2 + s.below(3);
            looped_with(s, length, 5.0)
        },
    ),
];

fn step(types: &[Type], f: impl Fn(&mut Builder, &[Value]) -> Value) -> Graph {
    let (mut b, args) = Builder::with_inputs(types);
    let y = f(&mut b, &args);
    b.finish(&[y]).expect("a step")
}

/// x = x - c a, as often as `length`; `c` does not vary.
fn looped(s: &mut Source, length: usize) -> Value {
    let (dtype, shape) = (s.dtype_that(DType::is_int), s.shape([0, 2], 1..=3));
    let c = s.input(dtype, &shape);
    scan(s, c, length)
}

fn looped_with(s: &mut Source, length: usize, c: f64) -> Value {
    let (dtype, shape) = (s.dtype_that(DType::is_int), s.shape([0, 2], 1..=3));
    let c = s.b.full(&Type::new(dtype, &shape), c);
    scan(s, c, length)
}

fn scan(s: &mut Source, c: Value, length: usize) -> Value {
    let ty = s.b.ty(c).clone();
    let [x, a] = [(); 2].map(|()| s.input(ty.dtype, &ty.shape));
    let body = step(&[ty.clone(), ty.clone(), ty], |b, args| {
        let product = b.mul(args[1], args[0]);
        b.sub(args[2], product)
    });
    let reverse = s.flip();
    s.b.op(Op::Scan { body: Arc::new(body), length, reverse, consts: 2, carry: 1 }, &[c, a, x])
}

#[test]
fn ops_with_bodies_keep_their_results() {
    let rewrite = |before: &Graph, _: u64| {
        let mut after = before.clone();
        if simplify(&mut after)? == Changed::No {
            return Ok(None);
        }
        oracle::assert_equivalent("control", before, &after, None);
        Ok(Some(after))
    };
    let wrong: Vec<String> = FORMS.iter().filter_map(|f| check(f, rewrite).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
