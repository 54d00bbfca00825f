//! `#[derive(Tree)]`: leaves, paths, static fields, generics.

use gradloom_frontend::Tree;
use gradloom_frontend::prelude::*;
use gradloom_frontend::tree::{same_structure, signature};
use std::marker::PhantomData;

fn scalar(x: f32) -> Tensor {
    Tensor::from_slice([1], &[x])
}

fn values<T: Tree>(tree: &T) -> Vec<f32> {
    tree.leaves().iter().map(|t| t.to_vec::<f32>().unwrap()[0]).collect()
}

/// Leaves and their names are `expected` in this order, and rebuilding changes each once, in the same order.
#[track_caller]
fn check<T: Tree>(tree: &T, expected: &[(&str, f32)]) {
    let (names, numbers): (Vec<&str>, Vec<f32>) = expected.iter().copied().unzip();
    assert_eq!(tree.paths(), names);
    assert_eq!(values(tree), numbers);
    let mut count = 0.0;
    let rebuilt = tree.map_leaves(&mut |t| {
        count += 100.0;
        scalar(t.to_vec::<f32>().unwrap()[0] + count)
    });
    let shifted: Vec<f32> = numbers.iter().enumerate().map(|(i, x)| x + 100.0 * (i as f32 + 1.0)).collect();
    assert_eq!(values(&rebuilt), shifted);
    assert_eq!(rebuilt.paths(), names);
    assert!(same_structure("test", tree, &rebuilt).is_ok());
}

#[derive(Tree, Clone)]
struct Linear {
    w: Tensor,
    b: Tensor,
}

#[derive(Tree, Clone)]
struct Named {
    layers: Vec<Linear>,
    head: Option<Tensor>,
    pair: (Tensor, [Tensor; 2]),
    r#type: Tensor,
    #[tree(skip)]
    act: Act,
    #[tree(skip)]
    scale: f32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Act {
    Relu,
    Gelu,
}

fn linear(x: f32) -> Linear {
    Linear { w: scalar(x), b: scalar(x + 0.5) }
}

fn named() -> Named {
    Named {
        layers: vec![linear(1.0), linear(2.0)],
        head: Some(scalar(3.0)),
        pair: (scalar(4.0), [scalar(5.0), scalar(6.0)]),
        r#type: scalar(7.0),
        act: Act::Relu,
        scale: 0.25,
    }
}

#[test]
fn named_fields() {
    check(
        &named(),
        &[
            ("layers.0.w", 1.0),
            ("layers.0.b", 1.5),
            ("layers.1.w", 2.0),
            ("layers.1.b", 2.5),
            ("head", 3.0),
            ("pair.0", 4.0),
            ("pair.1.0", 5.0),
            ("pair.1.1", 6.0),
            ("type", 7.0),
        ],
    );
}

#[test]
fn static_fields_are_kept_and_belong_to_the_signature() {
    let a = named();
    let rebuilt = a.map(|t| t.clone());
    assert_eq!((rebuilt.act, rebuilt.scale), (Act::Relu, 0.25));
    assert_eq!(signature(&a), signature(&named()));
    assert_ne!(signature(&a), signature(&Named { act: Act::Gelu, ..named() }));
    assert_ne!(signature(&a), signature(&Named { scale: 0.5, ..named() }));
    assert_ne!(signature(&a), signature(&Named { head: None, ..named() }));
    let e = same_structure("zip_map", &a, &Named { act: Act::Gelu, ..named() }).unwrap_err();
    assert!(e.to_string().contains("static fields differ"), "{e}");
}

#[derive(Tree)]
struct Pair(Tensor, #[tree(skip)] usize, Linear);

#[derive(Tree)]
struct Unit;

#[derive(Tree)]
struct Braces {}

#[test]
fn tuple_and_unit_structs() {
    let p = Pair(scalar(1.0), 7, linear(2.0));
    check(&p, &[("0", 1.0), ("2.w", 2.0), ("2.b", 2.5)]);
    assert_eq!(p.map(|t| t.clone()).1, 7);
    check(&Unit, &[]);
    check(&Braces {}, &[]);
}

#[derive(Tree)]
enum Layer {
    Dense(Linear),
    Scale {
        by: Tensor,
        #[tree(skip)]
        axis: i64,
    },
    Other(Tensor),
    Flatten,
}

#[derive(Tree)]
enum Never {}

#[test]
fn the_variant_of_an_enum_is_static() {
    check(&Layer::Dense(linear(1.0)), &[("0.w", 1.0), ("0.b", 1.5)]);
    check(&Layer::Scale { by: scalar(2.0), axis: -1 }, &[("by", 2.0)]);
    check(&Layer::Flatten, &[]);
    assert!(matches!(Layer::Scale { by: scalar(2.0), axis: 3 }.map(|t| t.clone()), Layer::Scale { axis: 3, .. }));
    // same leaves under another variant are another structure
    let (scale, other) = (Layer::Scale { by: scalar(2.0), axis: 1 }, Layer::Other(scalar(2.0)));
    assert!(same_structure("test", &scale, &other).is_err());
    assert_ne!(signature(&Layer::Flatten), signature(&other));
    assert_ne!(signature(&scale), signature(&Layer::Scale { by: scalar(2.0), axis: 2 }));
    assert_eq!(Vec::<Never>::new().paths(), Vec::<String>::new());
}

/// Has none of `Clone`, `Tree`: only a type parameter that is not stored.
struct Marker;

trait Family {
    type Params;
}

struct Small;

impl Family for Small {
    type Params = Linear;
}

#[derive(Tree)]
struct Generic<'a, T, F: Family, S, M, const N: usize>
where
    S: std::hash::Hash,
{
    inner: [T; N],
    params: F::Params,
    #[tree(skip)]
    label: &'a str,
    #[tree(skip)]
    config: S,
    marker: PhantomData<M>,
}

#[test]
fn generics_get_the_bounds_their_fields_need() {
    let make = |label, config: u8| Generic::<_, Small, _, Marker, 2> {
        inner: [linear(1.0), linear(2.0)],
        params: linear(3.0),
        label,
        config,
        marker: PhantomData,
    };
    let g = make("one", 5);
    check(
        &g,
        &[
            ("inner.0.w", 1.0),
            ("inner.0.b", 1.5),
            ("inner.1.w", 2.0),
            ("inner.1.b", 2.5),
            ("params.w", 3.0),
            ("params.b", 3.5),
        ],
    );
    assert_eq!(g.map(|t| t.clone()).label, "one");
    assert_eq!(signature(&g), signature(&make("one", 5)));
    assert_ne!(signature(&g), signature(&make("two", 5)));
    assert_ne!(signature(&g), signature(&make("one", 6)));
}

/// A tree that holds itself.
#[derive(Tree)]
struct Recursive {
    here: Tensor,
    rest: Option<Box<Recursive>>,
}

#[test]
fn recursive_types() {
    let r = Recursive { here: scalar(1.0), rest: Some(Box::new(Recursive { here: scalar(2.0), rest: None })) };
    check(&r, &[("here", 1.0), ("rest.here", 2.0)]);
}

/// `Debug` only: told apart by its text.
#[derive(Clone, Debug)]
struct Rate(#[allow(dead_code)] f64); // told apart by Debug

/// Neither `Hash` nor `Debug`, but it has contents: never equal to another.
#[derive(Clone)]
struct Opaque(#[allow(dead_code)] u8);

#[derive(Tree)]
struct Facts<F> {
    w: Tensor,
    #[tree(skip)]
    rate: Rate,
    #[tree(skip)]
    f: F,
}

#[test]
fn static_facts_of_types_that_offer_less() {
    fn relu(x: f32) -> f32 {
        x.max(0.0)
    }
    let make = |rate| Facts { w: scalar(1.0), rate: Rate(rate), f: relu };
    assert_eq!(signature(&make(0.5)), signature(&make(0.5)));
    assert_ne!(signature(&make(0.5)), signature(&make(0.25)));
    let opaque = || Facts { w: scalar(1.0), rate: Rate(0.5), f: Opaque(1) };
    assert_ne!(signature(&opaque()), signature(&opaque()));
    let f = opaque();
    assert!((f.map(|t| t.clone()).f.0, f.w.size()) == (1, 1));
}

mod facade {
    pub mod inner {
        pub use gradloom_frontend::*;
    }
}

#[derive(Tree)]
#[tree(crate = crate::facade::inner)]
struct Elsewhere {
    w: Tensor,
}

#[test]
fn the_crate_can_be_named() {
    check(&Elsewhere { w: scalar(1.0) }, &[("w", 1.0)]);
}
