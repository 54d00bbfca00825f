//! Trees of tensors: what functions take and return.
//!
//! A [`Tree`] is any nesting of structs (by `#[derive(Tree)]`), tuples, arrays, `Vec`, `Option`, `Box` and `BTreeMap`
//! around [`Tensor`] leaves. Everything else in it is static: it belongs to the tree's structure, as lengths and
//! variants do, and a compiled function is compiled again when it changes.

use crate::Tensor;
use gradloom_backends::Device;
use gradloom_ir::{Error, Loc, Result};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

/// What a walk over a tree meets, in order.
pub trait Visitor {
    /// A leaf.
    fn leaf(&mut self, t: &Tensor);
    /// A field, element or entry named `name` begins.
    fn enter(&mut self, name: &dyn std::fmt::Display);
    /// It ends.
    fn exit(&mut self);
    /// A static fact about the structure: a length, a variant, the hash of a static field.
    fn fact(&mut self, fact: u64);
}

/// A nesting of tensors. Derive it for structs and enums:
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// #[derive(Tree, Clone)]
/// struct Linear { w: Tensor, b: Tensor }
/// let l = Linear { w: Tensor::zeros([2, 3]), b: Tensor::ones([3]) };
/// assert_eq!(l.paths(), ["w", "b"]);
/// let doubled = l.map(|t| t * 2.0);
/// assert_eq!(doubled.b.to_vec::<f32>().unwrap(), [2.0; 3]);
/// ```
pub trait Tree: Sized {
    /// Walks leaves and structure in a fixed order.
    fn visit(&self, v: &mut dyn Visitor);

    /// The same structure with each leaf, in the order of [`Tree::visit`], replaced by `f` of it.
    fn map_leaves(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self;

    /// The same structure with each leaf replaced by `f` of it.
    fn map(&self, f: impl Fn(&Tensor) -> Tensor) -> Self {
        self.map_leaves(&mut |t| f(t))
    }

    /// Combines leaf by leaf with a tree of the same structure; if the structures differ every leaf holds an error.
    #[track_caller]
    fn zip_map(&self, other: &Self, f: impl Fn(&Tensor, &Tensor) -> Tensor) -> Self {
        if let Err(e) = same_structure("zip_map", self, other) {
            let e = Tensor::from_error(e.at(&Loc::caller()));
            return self.map(|_| e.clone());
        }
        let mut others = other.leaves().into_iter();
        self.map_leaves(&mut |t| match others.next() {
            Some(o) => f(t, &o),
            None => Tensor::from_error(Error::internal("zip_map", "fewer leaves than the structure says")),
        })
    }

    /// The leaves in order.
    #[inline(never)] // else every transform of every function has a copy
    fn leaves(&self) -> Vec<Tensor> {
        struct Leaves(Vec<Tensor>);
        impl Visitor for Leaves {
            fn leaf(&mut self, t: &Tensor) {
                self.0.push(t.clone());
            }
            fn enter(&mut self, _: &dyn std::fmt::Display) {}
            fn exit(&mut self) {}
            fn fact(&mut self, _: u64) {}
        }
        let mut v = Leaves(Vec::new());
        self.visit(&mut v);
        v.0
    }

    /// The leaves' names in order: `layers.0.w`; a tree that is one tensor has the empty name.
    #[inline(never)] // as above
    fn paths(&self) -> Vec<String> {
        #[derive(Default)]
        struct Paths {
            at: Vec<String>,
            out: Vec<String>,
        }
        impl Visitor for Paths {
            fn leaf(&mut self, _: &Tensor) {
                self.out.push(self.at.join("."));
            }
            fn enter(&mut self, name: &dyn std::fmt::Display) {
                self.at.push(name.to_string());
            }
            fn exit(&mut self) {
                self.at.pop();
            }
            fn fact(&mut self, _: u64) {}
        }
        let mut v = Paths::default();
        self.visit(&mut v);
        v.out
    }

    /// `Err` if a leaf holds an error: the first one.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert!((Tensor::zeros([2]), Tensor::zeros([-1])).check().is_err());
    /// ```
    fn check(&self) -> Result<()> {
        self.leaves().iter().try_for_each(Tensor::check)
    }

    /// The same arrays on a device; those that are there already are not copied.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let params = (Tensor::ones([2, 3]), Tensor::zeros([3]));
    /// let device = Device::cuda(0).unwrap_or(Device::cpu());
    /// let there = params.to_device(device)?;
    /// let y = jit(|(w, b): &(Tensor, Tensor)| (w.sum(0) + b).exp()).call(&there)?;
    /// assert_eq!((y.device(), y.shape()), (device, &[3][..]));
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the device has no memory for them, a leaf holds an error or is traced.
    fn to_device(&self, device: Device) -> Result<Self> {
        let moved: Result<Vec<Tensor>> = self.leaves().iter().map(|t| t.moved(device)).collect();
        let mut moved = moved?.into_iter();
        Ok(self.map_leaves(&mut |t| moved.next().unwrap_or_else(|| t.clone())))
    }

    /// All elements of all leaves (of one float dtype) as one vector.
    #[track_caller]
    fn ravel(&self) -> Tensor {
        let flat: Vec<Tensor> = self.leaves().iter().map(|t| t.reshape([-1])).collect();
        if flat.is_empty() { Tensor::zeros([0]) } else { Tensor::concatenate(&flat, 0) }
    }

    /// The inverse of [`Tree::ravel`]: a tree like `self` with its elements taken from `flat`.
    #[track_caller]
    fn unravel(&self, flat: &Tensor) -> Self {
        if flat.check().is_err() {
            return self.map(|_| flat.clone());
        }
        let total: usize = self.leaves().iter().map(|t| t.size()).sum();
        if flat.shape() != [total] {
            let e = Error::user("unravel", format!("the tree has {total} elements, the vector is {}", flat.ty()));
            let e = Tensor::from_error(e.at(&Loc::caller()));
            return self.map(|_| e.clone());
        }
        let mut at = 0;
        self.map_leaves(&mut |t| {
            let n = t.size();
            at += n;
            flat.slice_axis(0, at - n, at).reshape(t.shape())
        })
    }

    /// Zeros of the same structure and types.
    #[track_caller]
    fn zeros_like(&self) -> Self {
        self.map(|t| t.zeros_like())
    }

    /// The Euclidean norm of all elements of all leaves.
    #[track_caller]
    fn norm(&self) -> Tensor {
        let squares = self.leaves().iter().map(|t| t.square().sum(..)).reduce(|a, b| a + b);
        squares.map_or_else(|| Tensor::from(0.0f32), |s| s.sqrt())
    }
}

/// Two hashes of a tree's structure and leaf types; equal trees of different contents have equal signatures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signature(u64, u64);

struct SignatureVisitor {
    a: u64,
    b: u64,
    types: bool,
    places: bool,
}

impl SignatureVisitor {
    fn word(&mut self, x: u64) {
        // two multiply-rotate streams with different odd constants: 128 bits make an accidental collision negligible
        self.a = (self.a.rotate_left(5) ^ x).wrapping_mul(0x517c_c1b7_2722_0a95);
        self.b = (self.b.rotate_left(23) ^ x).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Visitor for SignatureVisitor {
    fn leaf(&mut self, t: &Tensor) {
        self.word(1);
        if self.types {
            let ty = t.ty_ref();
            let device = match t.device() {
                // numbers without axes go where they are needed
                Device::Cuda(i) if self.places && ty.rank() > 0 => i as u64 + 1,
                _ => 0,
            };
            self.word(ty.dtype as u64 | (ty.shape.len() as u64) << 8 | device << 32);
            ty.shape.iter().for_each(|&n| self.word(n as u64));
        }
    }
    fn enter(&mut self, _: &dyn std::fmt::Display) {
        self.word(2);
    }
    fn exit(&mut self) {
        self.word(3);
    }
    fn fact(&mut self, fact: u64) {
        self.word(4);
        self.word(fact);
    }
}

fn visited<T: Tree>(tree: &T, types: bool, places: bool) -> Signature {
    let mut v = SignatureVisitor { a: 0, b: 0, types, places };
    tree.visit(&mut v);
    Signature(v.a, v.b)
}

/// The signature of a tree: structure and leaf types.
pub fn signature<T: Tree>(tree: &T) -> Signature {
    visited(tree, true, false)
}

/// The signature of a tree with where its leaves are.
pub(crate) fn placed_signature<T: Tree>(tree: &T) -> Signature {
    visited(tree, true, true)
}

fn structure<T: Tree>(tree: &T) -> Signature {
    visited(tree, false, false)
}

/// Whether two trees have one structure; the error lists where they differ.
pub fn same_structure<T: Tree>(op: &str, a: &T, b: &T) -> Result<()> {
    if structure(a) == structure(b) {
        return Ok(());
    }
    Err(different(op, &a.paths(), &b.paths()))
}

fn different(op: &str, a: &[String], b: &[String]) -> Error {
    let missing: Vec<&String> =
        a.iter().filter(|p| !b.contains(p)).chain(b.iter().filter(|p| !a.contains(p))).collect();
    let what =
        if missing.is_empty() { "static fields differ".to_string() } else { format!("only one has {missing:?}") };
    Error::user(op, format!("the trees differ in structure ({} and {} leaves): {what}", a.len(), b.len()))
        .help("both trees need the same lengths, variants and static fields")
}

/// A fact about a static field, from whatever the type offers; used by the derive macro.
///
/// Types with `Hash` are told apart by it, others by `Debug`. A type with neither cannot be told apart, so its trees
/// count as different each time unless it has no contents at all.
#[doc(hidden)]
pub mod static_fact {
    use super::*;
    use std::collections::hash_map::DefaultHasher;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The macro calls `(&&&Wrap(&field)).fact()`: method lookup removes references one by one, so the most telling impl wins.
    pub struct Wrap<'a, T>(pub &'a T);

    pub trait ByHash {
        fn fact(&self) -> u64;
    }
    impl<T: Hash> ByHash for &&Wrap<'_, T> {
        fn fact(&self) -> u64 {
            let mut h = DefaultHasher::new();
            self.0.hash(&mut h);
            h.finish()
        }
    }

    pub trait ByDebug {
        fn fact(&self) -> u64;
    }
    impl<T: Debug> ByDebug for &Wrap<'_, T> {
        fn fact(&self) -> u64 {
            let mut h = DefaultHasher::new();
            format!("{:?}", self.0).hash(&mut h);
            h.finish()
        }
    }

    pub trait ByNothing {
        fn fact(&self) -> u64;
    }
    impl<T> ByNothing for Wrap<'_, T> {
        fn fact(&self) -> u64 {
            static NEXT: AtomicU64 = AtomicU64::new(1);
            if size_of::<T>() == 0 { 0 } else { NEXT.fetch_add(1, Ordering::Relaxed) }
        }
    }
}

impl Tree for Tensor {
    fn visit(&self, v: &mut dyn Visitor) {
        v.leaf(self);
    }
    fn map_leaves(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        f(self)
    }
}

impl<T: Tree> Tree for Vec<T> {
    fn visit(&self, v: &mut dyn Visitor) {
        v.fact(self.len() as u64);
        for (i, x) in self.iter().enumerate() {
            v.enter(&i);
            x.visit(v);
            v.exit();
        }
    }
    fn map_leaves(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        self.iter().map(|x| x.map_leaves(f)).collect()
    }
}

impl<T: Tree, const N: usize> Tree for [T; N] {
    fn visit(&self, v: &mut dyn Visitor) {
        for (i, x) in self.iter().enumerate() {
            v.enter(&i);
            x.visit(v);
            v.exit();
        }
    }
    fn map_leaves(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        std::array::from_fn(|i| self[i].map_leaves(f))
    }
}

impl<T: Tree> Tree for Option<T> {
    fn visit(&self, v: &mut dyn Visitor) {
        v.fact(u64::from(self.is_some()));
        if let Some(x) = self {
            x.visit(v);
        }
    }
    fn map_leaves(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        self.as_ref().map(|x| x.map_leaves(f))
    }
}

impl<T: Tree> Tree for Box<T> {
    fn visit(&self, v: &mut dyn Visitor) {
        (**self).visit(v);
    }
    fn map_leaves(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        Box::new((**self).map_leaves(f))
    }
}

impl<K: Ord + Clone + Debug, T: Tree> Tree for BTreeMap<K, T> {
    fn visit(&self, v: &mut dyn Visitor) {
        v.fact(self.len() as u64);
        for (k, x) in self {
            let name = format!("{k:?}");
            let name = name.trim_matches('"');
            let mut h = std::collections::hash_map::DefaultHasher::new();
            name.hash(&mut h);
            v.fact(h.finish());
            v.enter(&name);
            x.visit(v);
            v.exit();
        }
    }
    fn map_leaves(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        self.iter().map(|(k, x)| (k.clone(), x.map_leaves(f))).collect()
    }
}

impl<T> Tree for std::marker::PhantomData<T> {
    fn visit(&self, _: &mut dyn Visitor) {}
    fn map_leaves(&self, _: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        std::marker::PhantomData
    }
}

macro_rules! tuple_trees {
    ($(($($t:ident $i:tt),*))*) => {$(
        impl<$($t: Tree),*> Tree for ($($t,)*) {
            #[allow(unused_variables)]
            fn visit(&self, v: &mut dyn Visitor) {
                $(v.enter(&$i); self.$i.visit(v); v.exit();)*
            }
            #[allow(unused_variables, clippy::unused_unit)]
            fn map_leaves(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
                ($(self.$i.map_leaves(f),)*)
            }
        }
    )*};
}
tuple_trees! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
}
