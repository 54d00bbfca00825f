//! What the macro knows of a field, and the bounds its type asks for.

use proc_macro2::TokenTree;
use quote::{ToTokens, quote};
use std::collections::HashSet;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, Fields, GenericParam, Generics, Index, Member, Path, Result, Type, WherePredicate, parse_quote};

/// A field of a struct or of a variant.
pub struct Field {
    /// How it is selected.
    pub member: Member,
    /// Its part of a leaf's path.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Whether it is marked `#[tree(skip)]`.
    pub skip: bool,
}

/// The fields in order.
pub fn fields_of(fields: &Fields) -> Result<Vec<Field>> {
    fields.iter().enumerate().map(|(i, f)| field(i, f)).collect()
}

fn field(i: usize, f: &syn::Field) -> Result<Field> {
    let mut skip = false;
    for a in f.attrs.iter().filter(|a| a.path().is_ident("tree")) {
        a.parse_nested_meta(|m| {
            if m.path.is_ident("skip") {
                skip = true;
                return Ok(());
            }
            Err(m.error("unknown option of a field; there is `#[tree(skip)]`"))
        })?;
    }
    if let (false, Type::Reference(r)) = (skip, &f.ty) {
        return Err(Error::new(
            r.span(),
            "a tree owns its tensors: store the value instead of a reference (clones of a Tensor are O(1)), or mark \
             the field `#[tree(skip)]` if it holds no tensors",
        ));
    }
    let (member, name) = match &f.ident {
        Some(ident) => (Member::Named(ident.clone()), ident.unraw().to_string()),
        None => (Member::Unnamed(Index::from(i)), i.to_string()),
    };
    Ok(Field { member, name, ty: f.ty.clone(), skip })
}

/// `T: Tree` for type parameters in fields and `T: Clone` for those in skipped fields; the same for `T::Name`.
pub fn field_bounds<'a>(
    krate: &Path,
    generics: &Generics,
    fields: impl Iterator<Item = &'a Field>,
) -> Vec<WherePredicate> {
    let params: Vec<String> = generics
        .params
        .iter()
        .filter_map(|p| if let GenericParam::Type(t) = p { Some(t.ident.to_string()) } else { None })
        .collect();
    let mut seen = HashSet::new();
    let mut bounds = Vec::new();
    for f in fields.filter(|f| !is_marker(&f.ty)) {
        for used in uses(&f.ty, &params) {
            let bound = if f.skip { quote!(::core::clone::Clone) } else { quote!(#krate::tree::Tree) };
            let predicate = quote!(#used: #bound);
            if seen.insert(predicate.to_string()) {
                bounds.push(parse_quote!(#predicate));
            }
        }
    }
    bounds
}

/// `PhantomData<T>` is a tree, and cloned, whatever `T` is.
fn is_marker(ty: &Type) -> bool {
    matches!(ty, Type::Path(p) if p.path.segments.last().is_some_and(|s| s.ident == "PhantomData"))
}

/// The type parameters, and associated types `T::Name` of them, that a type mentions.
fn uses(ty: &Type, params: &[String]) -> Vec<Type> {
    let mut found = Vec::new();
    collect(ty.to_token_stream().into_iter().collect(), params, &mut found);
    found
}

fn collect(tokens: Vec<TokenTree>, params: &[String], found: &mut Vec<Type>) {
    let is_colon = |t: Option<&TokenTree>| matches!(t, Some(TokenTree::Punct(p)) if p.as_char() == ':');
    for (i, t) in tokens.iter().enumerate() {
        match t {
            TokenTree::Group(g) => collect(g.stream().into_iter().collect(), params, found),
            // `path::T` is another item of that name
            TokenTree::Ident(id) if params.contains(&id.to_string()) && !(i > 0 && is_colon(tokens.get(i - 1))) => {
                let associated = is_colon(tokens.get(i + 1)) && is_colon(tokens.get(i + 2));
                match (associated, tokens.get(i + 3)) {
                    (true, Some(TokenTree::Ident(name))) => found.push(parse_quote!(#id::#name)),
                    _ => found.push(parse_quote!(#id)),
                }
            }
            _ => {}
        }
    }
}
