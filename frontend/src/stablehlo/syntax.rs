//! The text as a tree, before any op is understood.

/// A file: its functions.
#[derive(Debug, Default)]
pub(super) struct Module<'a> {
    pub(super) functions: Vec<Function<'a>>,
}

/// `func.func @name(%a: T, ..) -> (T, ..) { .. }`
#[derive(Debug)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) at: usize,
    pub(super) results: Vec<Type<'a>>,
    /// `None` for a declaration.
    pub(super) body: Option<Region<'a>>,
}

/// One block: its parameters and ops, the last of them the terminator.
#[derive(Debug, Default)]
pub(super) struct Region<'a> {
    pub(super) at: usize,
    pub(super) params: Vec<(&'a str, Type<'a>)>,
    pub(super) ops: Vec<Operation<'a>>,
}

/// One op, in whichever form it was written.
#[derive(Debug, Default)]
pub(super) struct Operation<'a> {
    pub(super) name: &'a str,
    pub(super) at: usize,
    /// Names of the results, and how many values each stands for.
    pub(super) results: Vec<(&'a str, usize)>,
    pub(super) operands: Vec<Operand<'a>>,
    pub(super) attrs: Vec<(&'a str, Attr<'a>)>,
    /// Bare words of a pretty form, in order: `LT`, `FLOAT`.
    pub(super) words: Vec<&'a str>,
    /// The function named: `@main`.
    pub(super) symbol: Option<&'a str>,
    pub(super) regions: Vec<Region<'a>>,
    pub(super) signature: Signature<'a>,
}

/// What stands after the colon.
#[derive(Debug, Default)]
pub(super) enum Signature<'a> {
    /// Nothing.
    #[default]
    None,
    /// `T, T`
    List(Vec<Type<'a>>),
    /// `(T, T) -> (T)`
    Function(Vec<Type<'a>>, Vec<Type<'a>>),
}

/// `%0`, `%0#1`
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand<'a> {
    pub(super) name: &'a str,
    pub(super) index: usize,
    pub(super) at: usize,
}

/// A type.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Type<'a> {
    /// `tensor<2x?xf32>`; `None` is a dynamic length.
    Tensor { dims: Vec<Option<usize>>, element: &'a str },
    /// `(T) -> T`, as an attribute.
    Function(Vec<Type<'a>>, Vec<Type<'a>>),
    /// Any other, as it was written.
    Other(&'a str),
}

/// An attribute.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Attr<'a> {
    /// A number as it was written.
    Number(&'a str),
    /// A string, escapes as they are.
    Str(&'a str),
    /// `true`, `LT`, `unit`
    Word(&'a str),
    /// `@main`
    Symbol(&'a str),
    /// `[..]`, `array<i64: ..>`
    List(Vec<Attr<'a>>),
    /// `0:4:2` in a slice
    Range(Vec<&'a str>),
    /// `[1] x [0]`, `[b, f]x[o, i]->[b, f]`
    Cross(Vec<Attr<'a>>),
    /// `{a = 1, b}`; a bare name has [`Attr::Unit`].
    Dict(Vec<(&'a str, Attr<'a>)>),
    /// `#stablehlo.gather<a = [1]>`: its named parts, and the others in order.
    Named(Vec<(&'a str, Attr<'a>)>, Vec<Attr<'a>>),
    /// `dense<..>`: what stands inside and where, with the type if it was given here.
    Dense(&'a str, usize, Option<Type<'a>>),
    /// A type.
    Type(Type<'a>),
    /// Present, with no value.
    Unit,
    /// Something of another dialect, which has no meaning here.
    Opaque,
}

impl<'a> Operation<'a> {
    /// The attribute of this name.
    pub(super) fn attr(&self, name: &str) -> Option<&Attr<'a>> {
        self.attrs.iter().find(|(n, _)| *n == name).map(|(_, a)| a)
    }

    /// How many results the op has.
    pub(super) fn num_results(&self) -> usize {
        self.results.iter().map(|(_, n)| n).sum()
    }

    /// The types of the results, if the signature gives that many.
    pub(super) fn result_types(&self) -> Option<&[Type<'a>]> {
        let n = self.num_results();
        match &self.signature {
            Signature::Function(_, results) => (results.len() == n).then_some(results),
            Signature::List(types) if types.len() == n => Some(types),
            // the last type is that of the one result: `select %p, %x, %y : tensor<i1>, tensor<f32>`
            Signature::List(types) if n == 1 => types.last().map(std::slice::from_ref),
            Signature::List(_) | Signature::None => None,
        }
    }
}
